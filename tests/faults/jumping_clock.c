/* A wall clock that jumps by a year, forwards and backwards, each time it is read. Preloaded, it takes the
 * place of the C library's; the monotonic clock stays as it is. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t jump(void) {
    static int readings;
    return ++readings % 2 ? 31536000 : -31536000;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += jump();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int failed = syscall(SYS_gettimeofday, now, zone);
    if (!failed) now->tv_sec += jump();
    return failed;
}

time_t time(time_t *now) {
    time_t jumped = syscall(SYS_time, NULL) + jump();
    if (now) *now = jumped;
    return jumped;
}

/* Leaves a file, so that a test knows that it was loaded. */
__attribute__((constructor)) static void loaded(void) {
    const char *path = getenv("JUMPING_CLOCK_LOADED");
    if (path) close(open(path, O_CREAT | O_WRONLY, 0644));
}
