/* load - the two ends of the relay benchmark, both speaking just enough RTSP.
 *
 *   load camera HOST PORT                        serves every stream below; says READY
 *   load bulk   HOST PORT SECONDS                one stream as fast as it goes
 *   load paced  HOST PORT SECONDS STREAMS        4 Mbit/s each: 25 frames/s of 20,000 octets
 *   load setup  HOST PORT SECONDS AT_ONCE        connect, DESCRIBE, its answer, close
 *   load play   HOST PORT SECONDS AT_ONCE        the same with SETUP, PLAY and the first octets
 *   load idle   HOST PORT COUNT                  playing streams without an octet; holds them until
 *                                                standard input ends
 *   load stall  HOST PORT CAMERA_HOST CAMERA_PORT  reads for a second, stops, tells what is held
 *
 * Clients say START when they begin to count (idle: READY when all are there) and print one JSON
 * line. The camera serves by the last part of the URL's path: bulk, paced, idle, stall.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (256 * 1024)
#define PACKET 1432                 /* an interleaved frame as cameras write them */
#define PACKETS 14                  /* of one picture: 20,048 octets, 25 times a second */
#define PICTURE (PACKET * PACKETS)
#define PERIOD 40000000LL
#define HEAD_MAX 2048
#define STALL_BUFFER (128 * 1024)
#define EVENTS 256

static char *buffer;
static struct epoll_event events[EVENTS];

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}
static void die(const char *what) { perror(what); exit(1); }
static void say(const char *what) { puts(what); fflush(stdout); }

static void watch(int poll, int how, int fd, uint32_t mask, void *what) {
    struct epoll_event event = {.events = mask, .data.ptr = what};
    if (epoll_ctl(poll, how, fd, &event) < 0) die("epoll_ctl");
}
static struct sockaddr_in address(const char *host, int port) {
    struct sockaddr_in it = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, host, &it.sin_addr) != 1) die(host);
    return it;
}
static void nodelay(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}
/* 1: octets came; 0: the end or an error; -1: nothing yet. */
static int state_of(ssize_t count) { return count > 0 ? 1 : count < 0 && errno == EAGAIN ? -1 : 0; }

static void fill_packets(char *at, int count) {
    for (int i = 0; i < count; i++, at += PACKET) {
        memset(at, 0, PACKET);
        at[0] = '$', at[2] = (PACKET - 4) >> 8, at[3] = (char)(PACKET - 4), at[4] = (char)0x80, at[5] = 0x60;
    }
}

/* ---------------------------------------------------------------- camera */
struct stream {
    int fd, got, at;
    char mode;              /* 0 until PLAY, then the first letter of the path */
    int64_t due, sent;
    char head[HEAD_MAX];
};
static struct stream **paced;
static int paced_count, paced_room;
static int64_t stall_sent;  /* of the last stream of that kind */

static void gone(struct stream *s) {
    for (int i = 0; s->mode == 'p' && i < paced_count; i++)
        if (paced[i] == s) { paced[i] = paced[--paced_count]; break; }
    close(s->fd);
    free(s);
}
static const char *field(const char *head, const char *name) {
    const char *at = strcasestr(head, name);
    return at ? at + strlen(name) : "";
}
/* Answer one request; 0 when the connection is over. */
static int answer(int poll, struct stream *s, char *head) {
    static int phase;
    char text[1024], url[256] = "", body[300] = "", more[300] = "";
    int play = !strncmp(head, "PLAY ", 5);
    sscanf(head, "%*s %255s", url);
    char *last = strrchr(url, '/');
    if (!strncmp(head, "DESCRIBE ", 9)) {
        strcpy(body, "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=load\r\nt=0 0\r\na=control:*\r\n"
                     "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n");
        snprintf(more, sizeof more, "Content-Base: %.200s/\r\nContent-Type: application/sdp\r\nContent-Length: %zu\r\n", url, strlen(body));
    } else if (!strncmp(head, "SETUP ", 6))
        strcpy(more, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1;timeout=60\r\n");
    else if (play) {
        strcpy(more, "Session: 1\r\n");
        if (last && !last[1]) *last = 0, last = strrchr(url, '/');
    } else if (!strncmp(head, "SENT ", 5))
        snprintf(more, sizeof more, "Sent: %ld\r\n", stall_sent);
    int size = snprintf(text, sizeof text, "RTSP/1.0 200 OK\r\nCSeq: %d\r\n%s\r\n%s", atoi(field(head, "\r\nCSeq:")), more, body);
    if (send(s->fd, text, size, MSG_NOSIGNAL) != size) return 0;
    if (!strncmp(head, "TEARDOWN ", 9)) return 0;
    if (!play || s->mode) return 1;
    s->mode = last && last[1] ? last[1] : 'i';
    if (s->mode == 's') {
        int room = STALL_BUFFER;
        setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        stall_sent = 0;
    }
    if (s->mode == 'b' || s->mode == 's') watch(poll, EPOLL_CTL_MOD, s->fd, EPOLLIN | EPOLLOUT, s);
    if (s->mode == 'p') {
        if (paced_count == paced_room) paced = realloc(paced, (paced_room = 2 * paced_room + 256) * sizeof *paced);
        s->due = now() + phase++ * 7919 % 1000 * (PERIOD / 1000);
        paced[paced_count++] = s;
    }
    return 1;
}
static int hear(int poll, struct stream *s) {
    ssize_t count = recv(s->fd, s->head + s->got, HEAD_MAX - 1 - s->got, 0);
    int state = state_of(count);
    if (state <= 0) return state;
    s->got += count;
    s->head[s->got] = 0;
    for (char *end; (end = strstr(s->head, "\r\n\r\n"));) {
        end[2] = 0;
        if (!answer(poll, s, s->head)) return 0;
        s->got -= end + 4 - s->head;
        memmove(s->head, end + 4, s->got + 1);
    }
    return s->got < HEAD_MAX - 1;
}
static int pour(struct stream *s, int size) {
    for (int turn = 0; turn < 4; turn++) {
        ssize_t count = send(s->fd, buffer + s->at, size - s->at, MSG_NOSIGNAL);
        if (count < 0) return errno == EAGAIN;
        s->sent += count;
        s->at = (s->at + count) % size;
        if (s->mode == 's') stall_sent = s->sent;
        if (s->at) return 1;
    }
    return 1;
}
static void paint(int timer, char *picture) {
    int64_t moment = now(), next = moment + PERIOD;
    for (int i = 0; i < paced_count; i++) {
        struct stream *s = paced[i];
        if (s->due <= moment) {
            memcpy(picture + 16, &s->due, 8);
            while (s->at < PICTURE) {
                int size = PACKET - s->at % PACKET;
                ssize_t count = send(s->fd, picture + s->at, size, MSG_NOSIGNAL);
                if (count < 0) break;
                s->at += count;
            }
            if (s->at < PICTURE) { next = moment + 1000000; continue; }
            s->at = 0, s->due += PERIOD;
        }
        if (s->due < next) next = s->due;
    }
    if (next <= moment) next = moment + 1000;
    struct itimerspec when = {.it_value = {next / 1000000000, next % 1000000000}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}
static void camera(const char *host, int port) {
    int on = 1, listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in here = address(host, port);
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listening, (void *)&here, sizeof here) < 0 || listen(listening, 4096) < 0) die("bind");
    int poll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    char *picture = malloc(PICTURE);
    int size = BUFFER / PACKET * PACKET;
    fill_packets(buffer, BUFFER / PACKET);
    fill_packets(picture, PACKETS);
    watch(poll, EPOLL_CTL_ADD, listening, EPOLLIN, NULL);
    watch(poll, EPOLL_CTL_ADD, timer, EPOLLIN, &timer);
    say("READY");
    for (;;) {
        int count = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct stream *s = events[i].data.ptr;
            if (!s) {
                for (int fd, k = 0; k < 64 && (fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0; k++) {
                    nodelay(fd);
                    s = calloc(1, sizeof *s);
                    s->fd = fd;
                    watch(poll, EPOLL_CTL_ADD, fd, EPOLLIN, s);
                }
            } else if ((void *)s == &timer) {
                uint64_t ticks;
                if (read(timer, &ticks, 8) < 0) continue;
            } else {
                int fine = !(events[i].events & EPOLLOUT) || pour(s, size);
                if (fine && events[i].events & ~EPOLLOUT) fine = hear(poll, s);
                if (!fine) gone(s);
            }
        }
        if (paced_count) paint(timer, picture);
    }
}

/* ---------------------------------------------------------------- clients */
enum { CONNECTING, DESCRIBING, SETTING_UP, PLAYING };
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
/* Bring `count` clients to PLAY, at most 32 under way at once. */
static int all_playing(int poll, struct client **them, int count, const char *host, int port, const char *path, int receive) {
    int opened = 0, done = 0, failed = 0;
    for (int64_t moved = now(); done + failed < count;) {
        while (opened < count && opened - done - failed < 32) them[opened++] = dial(poll, host, port, receive);
        int ready = epoll_wait(poll, events, EVENTS, 500);
        if (!ready && now() - moved > 20000000000LL) { fprintf(stderr, "stuck at %d of %d\n", done, count); exit(1); }
        for (int i = 0; i < ready; i++) {
            struct client *c = events[i].data.ptr;
            int state = converse(poll, c, path, PLAYING);
            if (state < 0) continue;
            moved = now();
            if (state) done++; else failed++;
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
    if (all_playing(poll, &c, 1, host, port, "bulk", 0)) die("play");
    watch(poll, EPOLL_CTL_ADD, c->fd, EPOLLIN, c);
    int64_t total = 0, reads = 0, begin = now() + 500000000LL, end = 0, moment;
    for (;;) {
        moment = now();
        if (!end && moment >= begin) { total = reads = 0; begin = moment; end = moment + (int64_t)(seconds * 1e9); say("START"); }
        if (end && moment >= end) break;
        if (epoll_wait(poll, events, EVENTS, 100) <= 0) continue;
        ssize_t count = recv(c->fd, buffer, BUFFER, 0);
        if (!state_of(count)) die("the stream ended");
        if (count > 0) total += count, reads++;
    }
    double took = (moment - begin) / 1e9;
    printf("{\"rate\": %.1f, \"octets\": %ld, \"seconds\": %.3f, \"read\": %.0f}\n", total / 1e6 / took, total, took, (double)total / (reads ? reads : 1));
}
static void pace(const char *host, int port, double seconds, int streams) {
    int poll = epoll_create1(0);
    struct client **them = calloc(streams, sizeof *them);
    size_t room = (size_t)(streams * 30 * (seconds + 3)) + 1000, count = 0;
    int64_t *delays = malloc(room * 8), total = 0, begin, end = 0, moment;
    if (all_playing(poll, them, streams, host, port, "paced", 0)) die("play");
    for (int i = 0; i < streams; i++) watch(poll, EPOLL_CTL_ADD, them[i]->fd, EPOLLIN, them[i]);
    begin = now() + 1000000000LL;
    for (;;) {
        moment = now();
        if (!end && moment >= begin) { total = count = 0; begin = moment; end = moment + (int64_t)(seconds * 1e9); say("START"); }
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
    printf("{\"came\": %.4f, \"pictures\": %zu, \"p50_us\": %.0f, \"p99_us\": %.0f, \"max_us\": %.0f, \"octets\": %ld, \"seconds\": %.3f}\n",
           count / (streams * took * 1e9 / PERIOD), count, quantile(delays, count, .5), quantile(delays, count, .99), quantile(delays, count, 1), total, took);
}
static void setup(const char *host, int port, double seconds, int at_once, int last) {
    int poll = epoll_create1(0), out = 0;
    size_t room = 1 << 20, done = 0, failed = 0;
    int64_t *times = malloc(room * 8), begin = now() + 300000000LL, end = 0, moment;
    for (;;) {
        moment = now();
        if (!end && moment >= begin) { done = failed = 0; begin = moment; end = moment + (int64_t)(seconds * 1e9); say("START"); }
        if (end && moment >= end) break;
        for (; out < at_once; out++) dial(poll, host, port, 0);
        int ready = epoll_wait(poll, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            struct client *c = events[i].data.ptr;
            int state = converse(poll, c, "idle", last);
            if (state < 0) continue;
            if (!state) failed++; else if (done < room) times[done++] = now() - c->began;
            close(c->fd);
            free(c);
            out--;
        }
    }
    double took = (moment - begin) / 1e9;
    qsort(times, done, 8, compare);
    printf("{\"rate\": %.1f, \"done\": %zu, \"failed\": %zu, \"p50_us\": %.0f, \"p99_us\": %.0f, \"seconds\": %.3f}\n", done / took, done, failed,
           quantile(times, done, .5), quantile(times, done, .99), took);
}
static void hold(const char *host, int port, int count) {
    struct client **them = calloc(count, sizeof *them);
    int64_t began = now();
    int failed = all_playing(epoll_create1(0), them, count, host, port, "idle", 0);
    printf("READY\n{\"held\": %d, \"failed\": %d, \"seconds\": %.2f}\n", count - failed, failed, (now() - began) / 1e9);
}
static void stall(const char *host, int port, const char *camera_host, int camera_port) {
    struct client *c;
    int64_t got = 0, sent = -1, last = -1, end;
    if (all_playing(epoll_create1(0), &c, 1, host, port, "stall", STALL_BUFFER)) die("play");
    say("START");
    for (end = now() + 1000000000LL; now() < end;) {
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
        if (send(asking, question, strlen(question), 0) < 0 || recv(asking, text, sizeof text - 1, 0) <= 0) die("sent");
        sent = atol(field(text, "\r\nSent:"));
    }
    printf("{\"held\": %ld, \"octets\": %ld}\n", sent - got, got);
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
    else if (!strcmp(what, "stall")) stall(host, port, words[4], atoi(last));
    else return 2;
    fflush(stdout);
    while (getchar() != EOF) { }    /* until then the connections are held */
    return 0;
}
