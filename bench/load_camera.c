/* The camera's end of the load: answers requests, then pours, paces, begins or keeps silent. */
#include "load.h"

#include <sys/timerfd.h>
#include <unistd.h>

static void fill_packets(char *at, int count) {
    for (int i = 0; i < count; i++, at += PACKET) {
        memset(at, 0, PACKET);
        at[0] = '$', at[2] = (PACKET - 4) >> 8, at[3] = (char)(PACKET - 4);
        at[4] = (char)0x80, at[5] = 0x60;
    }
}

struct stream {
    int fd, got, at;
    char mode;              /* 0 until PLAY, then the first letter of the path */
    int64_t due, sent;
    char head[HEAD_MAX];
};
static struct stream **paced;
static int paced_count, paced_room;
static int64_t stall_sent;  /* of the last stream of that kind */

static int is_paced(const struct stream *s) { return s->mode == 'p' || s->mode == 'w'; }
static void gone(struct stream *s) {
    for (int i = 0; is_paced(s) && i < paced_count; i++)
        if (paced[i] == s) { paced[i] = paced[--paced_count]; break; }
    close(s->fd);
    free(s);
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
        snprintf(more, sizeof more,
                 "Content-Base: %.200s/\r\nContent-Type: application/sdp\r\n"
                 "Content-Length: %zu\r\n",
                 url, strlen(body));
    } else if (!strncmp(head, "SETUP ", 6))
        strcpy(more, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1;timeout=60\r\n");
    else if (play) {
        strcpy(more, "Session: 1\r\n");
        if (last && !last[1]) *last = 0, last = strrchr(url, '/');
    } else if (!strncmp(head, "SENT ", 5))
        snprintf(more, sizeof more, "Sent: %ld\r\n", stall_sent);
    int size = snprintf(text, sizeof text, "RTSP/1.0 200 OK\r\nCSeq: %d\r\n%s\r\n%s",
                        atoi(field(head, "\r\nCSeq:")), more, body);
    if (send(s->fd, text, size, MSG_NOSIGNAL) != size) return 0;
    if (!strncmp(head, "TEARDOWN ", 9)) return 0;
    if (!play || s->mode) return 1;
    s->mode = last && last[1] ? last[1] : 'i';
    if (s->mode == 's' || s->mode == 'w') {
        int room = STALL_BUFFER;
        setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        stall_sent = 0;
    }
    if (s->mode == 'b' || s->mode == 's') watch(poll, EPOLL_CTL_MOD, s->fd, EPOLLIN | EPOLLOUT, s);
    /* In parts: what comes with the answer goes another way through a relay than what follows. */
    for (int i = 0; s->mode == 'f' && i < FIRST / PACKET; i++)
        if (send(s->fd, buffer, PACKET, MSG_NOSIGNAL) != PACKET) return 0;
    if (is_paced(s)) {
        if (paced_count == paced_room) {
            paced_room = 2 * paced_room + 256;
            paced = realloc(paced, paced_room * sizeof *paced);
        }
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
                s->at += count, s->sent += count;
            }
            if (s->mode == 'w') stall_sent = s->sent;
            if (s->at < PICTURE) { next = moment + 1000000; continue; }
            s->at = 0, s->due += PERIOD;
        }
        if (s->due < next) next = s->due;
    }
    if (next <= moment) next = moment + 1000;
    struct itimerspec when = {.it_value = {next / 1000000000, next % 1000000000}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}
void camera(const char *host, int port) {
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
                for (int k = 0; k < 64; k++) {
                    int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
                    if (fd < 0) break;
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

