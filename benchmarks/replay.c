/* benchmarks/program's other side for CPU time: sends recorded CMSIS-DAP packets from memory over TCP, as framed by probe_tcp.c,
 * with as many in flight as the engine has, and takes the answers. No engine, no checks: what the socket alone costs.
 *
 *   replay HOST PORT FILE TIMES      prints the CPU seconds that it took */
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER = 8, FLIGHT = 4 };

static size_t frame_bytes(const unsigned char *frame)
{
    return HEADER + (frame[4] | (size_t)frame[5] << 8);
}

static void receive(int fd, unsigned char *to, size_t n)
{
    for (ssize_t got; n > 0; to += got, n -= (size_t)got)
        if ((got = recv(fd, to, n, 0)) <= 0)
            exit(1);
}

static void play(const struct addrinfo *to, const unsigned char *at, const unsigned char *end)
{
    int fd = socket(to->ai_family, SOCK_STREAM, 0), one = 1, flying = 0;
    if (connect(fd, to->ai_addr, to->ai_addrlen) != 0)
        exit(1);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    while (at < end || flying > 0) {
        if (at < end && flying < FLIGHT) {
            size_t n = frame_bytes(at);
            if (send(fd, at, n, MSG_NOSIGNAL) != (ssize_t)n)
                exit(1);
            at += n, flying++;
            continue;
        }
        unsigned char answer[HEADER + 65535];
        receive(fd, answer, HEADER);
        receive(fd, answer + HEADER, frame_bytes(answer) - HEADER);
        flying--;
    }
    close(fd);
}

int main(int argc, char **argv)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *to;
    FILE *f = argc == 5 && getaddrinfo(argv[1], argv[2], &hints, &to) == 0 ? fopen(argv[3], "rb") : NULL;
    if (!f || fseek(f, 0, SEEK_END) != 0)
        return 2;
    size_t size = (size_t)ftell(f);
    unsigned char *bytes = malloc(size);
    rewind(f);
    if (!bytes || fread(bytes, 1, size, f) != size)
        return 2;
    for (int i = atoi(argv[4]); i > 0; i--)
        play(to, bytes, bytes + size);
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("%.6f\n", (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                         (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    return 0;
}
