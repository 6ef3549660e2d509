/* Lets the n-th call that writes to, or syncs, a file below FAULT_FOLDER fail once, or from then on.

   FAULT_NTH      which call, counted over all threads from 1; 0: none, only count
   FAULT_ERRNO    28 (ENOSPC) or 5 (EIO)
   FAULT_STICKY   1: all later calls fail too
   FAULT_COUNT    a file that gets the number of calls when the process ends, and of FAULT_NTH the path when it is hit
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls;
static long nth, sticky;
static int code;
static const char *folder, *report;
static pid_t owner;

__attribute__((constructor)) static void begin(void) {
    folder = getenv("FAULT_FOLDER");
    report = getenv("FAULT_COUNT");
    nth = getenv("FAULT_NTH") ? atol(getenv("FAULT_NTH")) : 0;
    sticky = getenv("FAULT_STICKY") ? atol(getenv("FAULT_STICKY")) : 0;
    code = getenv("FAULT_ERRNO") ? atoi(getenv("FAULT_ERRNO")) : EIO;
    owner = getpid();
}

static void say(const char *word, long number, const char *path) {
    static ssize_t (*really)(int, const void *, size_t);
    char line[4200];
    int file, length;
    if (!report) return;
    if (!really) really = dlsym(RTLD_NEXT, "write");
    file = open(report, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0) return;
    length = snprintf(line, sizeof line, "%s %d %ld %s\n", word, (int)getpid(), number, path);
    if (really(file, line, (size_t)length) < 0) { /* nobody to tell */ }
    close(file);
}

__attribute__((destructor)) static void end(void) {
    if (getpid() == owner) say("calls", atomic_load(&calls), "");
}

/* Whether this call is to fail. */
static int fails(int file) {
    char link[64], path[4096];
    ssize_t length;
    long number;
    if (!folder) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    if (strncmp(path, folder, strlen(folder))) return 0;
    number = atomic_fetch_add(&calls, 1) + 1;
    if (!nth || (sticky ? number < nth : number != nth)) return 0;
    if (number == nth) say("hit", number, path);
    errno = code;
    return 1;
}

#define REAL(name) static __typeof__(&name) really; if (!really) really = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int file, const void *data, size_t size) { REAL(write); return fails(file) ? -1 : really(file, data, size); }
ssize_t pwrite(int file, const void *data, size_t size, off_t at) { REAL(pwrite); return fails(file) ? -1 : really(file, data, size, at); }
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) { REAL(pwrite64); return fails(file) ? -1 : really(file, data, size, at); }
ssize_t writev(int file, const struct iovec *parts, int count) { REAL(writev); return fails(file) ? -1 : really(file, parts, count); }
int fsync(int file) { REAL(fsync); return fails(file) ? -1 : really(file); }
int fdatasync(int file) { REAL(fdatasync); return fails(file) ? -1 : really(file); }
int ftruncate(int file, off_t size) { REAL(ftruncate); return fails(file) ? -1 : really(file, size); }
int ftruncate64(int file, off64_t size) { REAL(ftruncate64); return fails(file) ? -1 : really(file, size); }
int fallocate(int file, int mode, off_t at, off_t size) { REAL(fallocate); return fails(file) ? -1 : really(file, mode, at, size); }

