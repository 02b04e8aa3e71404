/* load - the two ends of the relay benchmark, both speaking just enough RTSP.
 *
 *   load camera HOST PORT                        serves every stream below; says READY
 *   load bulk   HOST PORT SECONDS                one stream as fast as it goes
 *   load paced  HOST PORT SECONDS STREAMS        4 Mbit/s each: 25 frames/s of 20,000 octets
 *   load setup  HOST PORT SECONDS AT_ONCE        connect, DESCRIBE, its answer, close
 *   load play   HOST PORT SECONDS AT_ONCE        the same with SETUP, PLAY and the first octets
 *   load begin  HOST PORT SECONDS AT_ONCE        on streams that are set up: PLAY, its answer and the
 *                                                first octets; only that is timed
 *   load idle   HOST PORT COUNT                  playing streams without an octet; holds them until
 *                                                standard input ends
 *   load stall  HOST PORT CAMERA_HOST CAMERA_PORT PATH  reads for two seconds, stops, tells what
 *                                                is held back after at most five more
 *
 * Clients say START when they begin to count (idle: READY when all are there) and print one JSON
 * line. The camera serves by the last part of the URL's path: bulk, paced, first, idle,
 * stall.
 */
#include "load.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

char *buffer;
struct epoll_event events[EVENTS];

enum { BROKEN = -1, CONNECTING, DESCRIBING, SETTING_UP, PLAYING };
struct client {
    int fd, step, got, at;
    int64_t began, stamp;
    char stamped[8], head[HEAD_MAX];
};
static void ask(struct client *c, const char *path) {
    static const char *methods[] = {"", "DESCRIBE", "SETUP", "PLAY"};
    char text[512], more[200] = "", track[100] = "";
    if (++c->step == SETTING_UP) {
        for (char *at = c->head; (at = strstr(at, "a=control:")); at++)
            sscanf(at, "a=control:%98s", track + (*track = '/', 1));
        strcpy(more, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n");
    } else if (c->step == PLAYING) {
        sscanf(field(c->head, "\r\nSession:"), " %99[^;\r]", track);
        snprintf(more, sizeof more, "Session: %s\r\n", track);
        *track = 0;
    }
    int size = snprintf(text, sizeof text, "%s rtsp://camera/%s%s RTSP/1.0\r\nCSeq: %d\r\n%s\r\n",
                        methods[c->step], path, track, c->step, more);
    c->got = 0;
    if (send(c->fd, text, size, MSG_NOSIGNAL) != size) die("request");
}
static struct client *dial(int poll, const char *host, int port, int receive) {
    struct client *c = calloc(1, sizeof *c);
    struct sockaddr_in there = address(host, port);
    if ((c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) < 0) die("socket");
    if (receive) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof receive);
    nodelay(c->fd);
    c->began = now();
    if (connect(c->fd, (void *)&there, sizeof there) < 0 && errno != EINPROGRESS) die("connect");
    watch(poll, EPOLL_CTL_ADD, c->fd, EPOLLOUT, c);
    return c;
}
/* Take a step of the dialogue: 1 when `last` has been answered, 0 when it broke, -1 not yet. */
static int converse(int poll, struct client *c, const char *path, int last) {
    if (c->step == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error) return 0;
        watch(poll, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
        ask(c, path);
        return -1;
    }
    /* Of the last answer not an octet too much: what follows it is the stream's. */
    int room = c->step == PLAYING ? 1 : HEAD_MAX - 1 - c->got;
    for (;;) {
        ssize_t count = recv(c->fd, c->head + c->got, room, 0);
        if (count <= 0) return state_of(count);
        c->got += count;
        c->head[c->got] = 0;
        char *end = strstr(c->head, "\r\n\r\n");
        if (!end || c->got < end + 4 - c->head + atoi(field(c->head, "\r\nContent-Length:"))) {
            if (c->got >= HEAD_MAX - 1) return 0;
            if (c->step == PLAYING) continue;
            return -1;
        }
        if (strncmp(c->head, "RTSP/1.0 200", 12)) { fprintf(stderr, "%s", c->head); return 0; }
        if (c->step == last) return 1;
        ask(c, path);
        memset(c->head, 0, sizeof c->head);
        return -1;
    }
}
static void stuck(int done, int count) {
    fprintf(stderr, "stuck at %d of %d\n", done, count);
    exit(1);
}
/* Have `last` answered to `count` clients, at most 32 under way at once; return how many broke. */
static int all_at(int last, int poll, struct client **them, int count, const char *host, int port,
                  const char *path, int receive) {
    int opened = 0, done = 0, failed = 0;
    for (int64_t moved = now(); done + failed < count;) {
        while (opened < count && opened - done - failed < 32)
            them[opened++] = dial(poll, host, port, receive);
        int ready = epoll_wait(poll, events, EVENTS, 500);
        if (!ready && now() - moved > PATIENCE) stuck(done, count);
        for (int i = 0; i < ready; i++) {
            struct client *c = events[i].data.ptr;
            int state = converse(poll, c, path, last);
            if (state < 0) continue;
            moved = now();
            if (state) done++; else failed++, c->step = BROKEN;
            epoll_ctl(poll, EPOLL_CTL_DEL, c->fd, NULL);
        }
    }
    for (int i = 0; i < count; i++) them[i]->at = 0;
    return failed;
}
static int compare(const void *a, const void *b) {
    int64_t x = *(int64_t *)a, y = *(int64_t *)b;
    return (x > y) - (x < y);
}
static double quantile(int64_t *values, size_t count, double share) {
    return count ? values[(size_t)(share * (count - 1) + .5)] / 1000.0 : -1;
}
static void bulk(const char *host, int port, double seconds) {
    int poll = epoll_create1(0);
    struct client *c;
    if (all_at(PLAYING, poll, &c, 1, host, port, "bulk", 0)) die("play");
    watch(poll, EPOLL_CTL_ADD, c->fd, EPOLLIN, c);
    int64_t total = 0, reads = 0, begin = now() + WARM_UP, end = 0, moment;
    for (;;) {
        moment = now();
        if (!end && moment >= begin) {
            total = reads = 0;
            begin = moment, end = moment + (int64_t)(seconds * 1e9);
            say("START");
        }
        if (end && moment >= end) break;
        if (epoll_wait(poll, events, EVENTS, 100) <= 0) continue;
        ssize_t count = recv(c->fd, buffer, BUFFER, 0);
        if (!state_of(count)) die("the stream ended");
        if (count > 0) total += count, reads++;
    }
    double took = (moment - begin) / 1e9;
    printf("{\"rate\": %.1f, \"octets\": %ld, \"seconds\": %.3f, \"read\": %.0f}\n",
           total / 1e6 / took, total, took, (double)total / (reads ? reads : 1));
}
static void pace(const char *host, int port, double seconds, int streams) {
    int poll = epoll_create1(0);
    struct client **them = calloc(streams, sizeof *them);
    size_t room = (size_t)(streams * 30 * (seconds + 3)) + 1000, count = 0;
    int64_t *delays = malloc(room * 8), total = 0, begin, end = 0, moment;
    if (all_at(PLAYING, poll, them, streams, host, port, "paced", 0)) die("play");
    for (int i = 0; i < streams; i++) watch(poll, EPOLL_CTL_ADD, them[i]->fd, EPOLLIN, them[i]);
    begin = now() + 1000000000LL;
    for (;;) {
        moment = now();
        if (!end && moment >= begin) {
            total = count = 0;
            begin = moment, end = moment + (int64_t)(seconds * 1e9);
            say("START");
        }
        if (end && moment >= end) break;
        int ready = epoll_wait(poll, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            struct client *c = events[i].data.ptr;
            ssize_t left = recv(c->fd, buffer, BUFFER, 0);
            if (!state_of(left)) die("the stream ended");
            moment = now();
            total += left > 0 ? left : 0;
            for (char *at = buffer; left > 0;) {
                int part = PICTURE - c->at < left ? PICTURE - c->at : (int)left;
                for (int k = 0; k < part && c->at + k < 24; k++)
                    if (c->at + k >= 16) c->stamped[c->at + k - 16] = at[k];
                c->at += part, at += part, left -= part;
                if (c->at < PICTURE) continue;
                memcpy(&c->stamp, c->stamped, 8);
                if (count < room) delays[count++] = moment - c->stamp;
                c->at = 0;
            }
        }
    }
    double took = (moment - begin) / 1e9;
    qsort(delays, count, 8, compare);
    printf("{\"came\": %.4f, \"pictures\": %zu, \"p50_us\": %.0f, \"p99_us\": %.0f, "
           "\"max_us\": %.0f, \"octets\": %ld, \"seconds\": %.3f}\n",
           count / (streams * took * 1e9 / PERIOD), count, quantile(delays, count, .5),
           quantile(delays, count, .99), quantile(delays, count, 1), total, took);
}
static void setup(const char *host, int port, double seconds, int at_once, int last) {
    struct linger reset = {.l_onoff = 1};
    int poll = epoll_create1(0), out = 0;
    size_t room = 1 << 20, done = 0, failed = 0;
    int64_t *times = malloc(room * 8), begin = now() + 300000000LL, end = 0, moment;
    for (;;) {
        moment = now();
        if (!end && moment >= begin) {
            done = failed = 0;
            begin = moment, end = moment + (int64_t)(seconds * 1e9);
            say("START");
        }
        if (end && moment >= end) break;
        for (; out < at_once; out++) dial(poll, host, port, 0);
        int ready = epoll_wait(poll, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            struct client *c = events[i].data.ptr;
            int state = converse(poll, c, "idle", last);
            if (state < 0) continue;
            if (!state) failed++; else if (done < room) times[done++] = now() - c->began;
            /* Who only closes its half of a playing stream may still want to hear the rest. */
            if (last == PLAYING) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            close(c->fd);
            free(c);
            out--;
        }
    }
    double took = (moment - begin) / 1e9;
    qsort(times, done, 8, compare);
    printf("{\"rate\": %.1f, \"done\": %zu, \"failed\": %zu, \"p50_us\": %.0f, \"p99_us\": %.0f, "
           "\"seconds\": %.3f}\n",
           done / took, done, failed, quantile(times, done, .5), quantile(times, done, .99), took);
}
/* Take PLAY's answer and what follows it: 1 when `FIRST` octets have followed, else as `converse`. */
static int first_octets(struct client *c) {
    for (;;) {
        int head = c->at < 0;
        ssize_t count = recv(c->fd, head ? c->head + c->got : buffer,
                             head ? HEAD_MAX - 1 - c->got : BUFFER, 0);
        if (count <= 0) return state_of(count);
        if (head) {
            c->got += count;
            c->head[c->got] = 0;
            char *end = strstr(c->head, "\r\n\r\n");
            if (!end && c->got >= HEAD_MAX - 1) return 0;
            if (!end) continue;
            if (strncmp(c->head, "RTSP/1.0 200", 12)) { fprintf(stderr, "%s", c->head); return 0; }
            count = c->got - (end + 4 - c->head);
            c->at = 0;
        }
        c->at += count;
        if (c->at >= FIRST) return c->at == FIRST;
    }
}
/* PLAY on a batch of clients, `at_once` at a time; return how many broke. */
static int play_all(int poll, struct client **them, int count, int at_once, int64_t *times,
                    size_t *done) {
    int asked = 0, out = 0, failed = 0;
    for (int64_t moved = now(); asked < count || out;) {
        for (; asked < count && out < at_once; asked++) {
            struct client *c = them[asked];
            if (c->step == BROKEN) { failed++; continue; }
            watch(poll, EPOLL_CTL_ADD, c->fd, EPOLLIN, c);
            c->at = -1;
            c->began = now();
            ask(c, "first");
            out++;
        }
        int ready = epoll_wait(poll, events, EVENTS, 500);
        if (!ready && now() - moved > PATIENCE) stuck(asked - out, count);
        for (int i = 0; i < ready; i++) {
            struct client *c = events[i].data.ptr;
            int state = first_octets(c);
            if (state < 0) continue;
            moved = now();
            if (state) times[(*done)++] = moved - c->began; else failed++;
            epoll_ctl(poll, EPOLL_CTL_DEL, c->fd, NULL);
            out--;
        }
    }
    return failed;
}
static void begin(const char *host, int port, double seconds, int at_once) {
    int poll = epoll_create1(0), failed = 0;
    size_t room = 1 << 20, done = 0;
    int64_t *times = malloc(room * 8), took = 0;
    struct linger reset = {.l_onoff = 1};   /* gone at once, so that nothing of it is timed later */
    struct client *them[BATCH];
    for (int batch = 0; batch < 2 || (took < seconds * 1e9 && done + BATCH < room); batch++) {
        if (batch == 1) done = failed = took = 0, say("START");    /* the first one warms up */
        all_at(SETTING_UP, poll, them, BATCH, host, port, "first", 0);
        int64_t began = now();
        int broke = play_all(poll, them, BATCH, at_once, times, &done);
        if (broke == BATCH) die("play");
        failed += broke;
        took += now() - began;
        for (int i = 0; i < BATCH; i++) {
            setsockopt(them[i]->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            close(them[i]->fd);
            free(them[i]);
        }
    }
    qsort(times, done, 8, compare);
    printf("{\"rate\": %.1f, \"done\": %zu, \"failed\": %d, \"p50_us\": %.0f, \"p99_us\": %.0f, "
           "\"seconds\": %.3f}\n",
           done / (took / 1e9), done, failed, quantile(times, done, .5),
           quantile(times, done, .99), took / 1e9);
}
static void hold(const char *host, int port, int count) {
    struct client **them = calloc(count, sizeof *them);
    int64_t began = now();
    int failed = all_at(PLAYING, epoll_create1(0), them, count, host, port, "idle", 0);
    printf("READY\n{\"held\": %d, \"failed\": %d, \"seconds\": %.2f}\n", count - failed, failed,
           (now() - began) / 1e9);
}
static void stall(const char *host, int port, const char *camera_host, int camera_port,
                  const char *path) {
    struct client *c;
    int64_t got = 0, sent = -1, last = -1, end;
    if (all_at(PLAYING, epoll_create1(0), &c, 1, host, port, path, STALL_BUFFER)) die("play");
    say("START");
    for (end = now() + STALL_AFTER; now() < end;) {
        ssize_t count = recv(c->fd, buffer, BUFFER, 0);
        if (!state_of(count)) die("the stream ended");
        if (count > 0) got += count; else usleep(100);
    }
    const char *question = "SENT * RTSP/1.0\r\nCSeq: 1\r\n\r\n";
    int asking = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in there = address(camera_host, camera_port);
    if (connect(asking, (void *)&there, sizeof there) < 0) die("connect");
    for (int i = 0; i < 20 && (sent != last || i < 4); i++) {
        char text[1024] = "";
        last = sent;
        usleep(250000);
        if (send(asking, question, strlen(question), 0) < 0) die("sent");
        if (recv(asking, text, sizeof text - 1, 0) <= 0) die("sent");
        sent = atol(field(text, "\r\nSent:"));
    }
    printf("{\"held\": %ld, \"octets\": %ld, \"seconds\": %.3f}\n", sent - got, got,
           STALL_AFTER / 1e9);
}
int main(int count, char **words) {
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    buffer = calloc(1, BUFFER);
    if (count < 4 || !buffer) return 2;
    const char *what = words[1], *host = words[2];
    int port = atoi(words[3]);
    if (!strcmp(what, "camera")) camera(host, port);
    if (count < 5) return 2;
    double seconds = atof(words[4]);
    const char *last = count > 5 ? words[5] : "0";
    if (!strcmp(what, "bulk")) bulk(host, port, seconds);
    else if (!strcmp(what, "idle")) hold(host, port, atoi(words[4]));
    else if (!strcmp(what, "paced")) pace(host, port, seconds, atoi(last));
    else if (!strcmp(what, "setup")) setup(host, port, seconds, atoi(last), DESCRIBING);
    else if (!strcmp(what, "play")) setup(host, port, seconds, atoi(last), PLAYING);
    else if (!strcmp(what, "begin")) begin(host, port, seconds, atoi(last));
    else if (!strcmp(what, "stall") && count > 6) stall(host, port, words[4], atoi(last), words[6]);
    else return 2;
    fflush(stdout);
    while (getchar() != EOF) { }    /* until then the connections are held */
    return 0;
}
