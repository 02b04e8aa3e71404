/* What both ends of the relay benchmark's load share; see load.c. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define BUFFER (256 * 1024)
#define PACKET 1432                 /* an interleaved frame as cameras write them */
#define PACKETS 14                  /* of one picture: 20,048 octets, 25 times a second */
#define PICTURE (PACKET * PACKETS)
#define PERIOD 40000000LL
#define HEAD_MAX 2048
#define STALL_BUFFER (128 * 1024)
#define STALL_AFTER 2000000000LL
#define WARM_UP 1000000000LL        /* windows grow first, the kernel's and ours */
#define EVENTS 256
#define FIRST (2 * PACKET)          /* of a stream that only begins */
#define BATCH 512                   /* streams that are set up before their PLAY is timed */
#define PATIENCE 20000000000LL      /* without any progress at all */

extern char *buffer;               /* BUFFER octets */
extern struct epoll_event events[EVENTS];

void camera(const char *host, int port);

static inline int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}
static inline void die(const char *what) { perror(what); exit(1); }
static inline void say(const char *what) { puts(what); fflush(stdout); }

static inline void watch(int poll, int how, int fd, uint32_t mask, void *what) {
    struct epoll_event event = {.events = mask, .data.ptr = what};
    if (epoll_ctl(poll, how, fd, &event) < 0) die("epoll_ctl");
}
static inline struct sockaddr_in address(const char *host, int port) {
    struct sockaddr_in it = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, host, &it.sin_addr) != 1) die(host);
    return it;
}
static inline void nodelay(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}
/* 1: octets came; 0: the end or an error; -1: nothing yet. */
static inline int state_of(ssize_t count) {
    return count > 0 ? 1 : count < 0 && errno == EAGAIN ? -1 : 0;
}
static inline const char *field(const char *head, const char *name) {
    const char *at = strcasestr(head, name);
    return at ? at + strlen(name) : "";
}
