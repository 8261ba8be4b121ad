/* A port's thread with a real probe connection, a virtual board, and an event loop that does not look for a long time. */
#include "board/server.h"
#include "device/table.h"
#include "launch/port.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>

#define DATA_BYTES                                                                                           \
    (96u * 1024u) /* 96 pages take more than three seconds: more progress than may wait in a port's queue */

typedef struct {
    ImpBoard *board;
    ImpServer *server;
    pthread_t thread;
    int stop_fd, control_fd;
    ImpPort *port;
    guint n_progress;
    guint64 last_done;
    ImpPhase last_phase;
    gboolean done, ok;
} Bench;

static void *serve(void *data)
{
    char why[IMP_SERVER_WHY_MAX];
    g_assert_cmpint(imp_server_run(((Bench *)data)->server, why), ==, 0);
    return NULL;
}

static void bench_open(Bench *b)
{
    char why[IMP_SERVER_WHY_MAX];
    struct imp_server_addrs addrs;
    *b = (Bench){.stop_fd = eventfd(0, EFD_CLOEXEC)};
    b->board = imp_board_new("nrf51822", 1, NULL, NULL);
    g_assert_nonnull(b->board);
    b->server =
        imp_server_open(b->board,
                        &(struct imp_server_options){
                            .dap_addr = "127.0.0.1:0", .control_addr = "127.0.0.1:0", .stop_fd = b->stop_fd},
                        why);
    g_assert_nonnull(b->server);
    imp_server_get_addrs(b->server, &addrs);
    g_assert_cmpint(pthread_create(&b->thread, NULL, serve, b), ==, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((guint16)g_ascii_strtoull(strrchr(addrs.control, ':') + 1, NULL, 10));
    b->control_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(b->control_fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_autofree char *spec = g_strconcat("tcp:", addrs.dap, NULL);
    b->port = imp_port_thread_new(&(ImpPortThreadOptions){.probe_spec = spec, .clock = imp_clock_system()});
}

static void bench_close(Bench *b)
{
    imp_port_free(b->port);
    close(b->control_fd);
    g_assert_cmpint(eventfd_write(b->stop_fd, 1), ==, 0);
    pthread_join(b->thread, NULL);
    imp_server_close(b->server);
    imp_board_free(b->board);
    close(b->stop_fd);
}

/* A counter of the board's, through its control port. */
static guint64 counter(Bench *b, const char *name)
{
    char line[1024];
    gsize n = 0;
    g_assert_cmpint(send(b->control_fd, "status\n", 7, MSG_NOSIGNAL), ==, 7);
    do {
        gssize got = recv(b->control_fd, line + n, sizeof line - 1 - n, 0);
        g_assert_cmpint(got, >, 0);
        n += (gsize)got;
    } while (line[n - 1] != '\n');
    line[n] = '\0';
    const char *at = strstr(line, name);
    g_assert_nonnull(at);
    return g_ascii_strtoull(at + strlen(name), NULL, 10);
}

static void on_event(gpointer user, const ImpPortEvent *event)
{
    Bench *b = user;
    g_assert_false(b->done); /* nothing after the end of a command */
    if (event->done) {
        if (event->error != NULL)
            g_test_message("%s", event->error->message);
        b->done = TRUE;
        b->ok = event->error == NULL;
        return;
    }
    /* In order, though not all of it. */
    g_assert_cmpint(event->phase, >=, b->last_phase);
    if (event->phase == b->last_phase)
        g_assert_cmpuint(event->done_bytes, >=, b->last_done);
    b->last_phase = event->phase;
    b->last_done = event->done_bytes;
    b->n_progress++;
}

/* Until the command at work has ended. */
static gboolean wait_done(Bench *b)
{
    while (!b->done) {
        struct pollfd fd = {.fd = imp_port_fd(b->port), .events = POLLIN};
        g_assert_cmpint(poll(&fd, 1, 120000), ==, 1);
        imp_port_dispatch(b->port);
    }
    b->done = FALSE;
    return b->ok;
}

static guint flash(Bench *b, const ImpContent *content, const ImpUnitMap *map, gboolean look)
{
    ImpCommand attach = {.kind = IMP_COMMAND_ATTACH, .content = content};
    ImpCommand write = {.kind = IMP_COMMAND_FLASH,
                        .content = content,
                        .map = map,
                        .erase = TRUE,
                        .program = TRUE,
                        .verify = TRUE,
                        .erase_mode = IMP_ERASE_USED,
                        .verify_mode = IMP_VERIFY_READ_BACK};
    ImpCommand finish = {.kind = IMP_COMMAND_FINISH, .content = content};
    guint64 programmed = counter(b, "words_programmed=") + DATA_BYTES / 4;
    b->n_progress = 0;
    b->last_phase = 0;
    b->last_done = 0;
    imp_port_submit(b->port, &attach);
    g_assert_true(wait_done(b));
    imp_port_submit(b->port, &write);
    while (!look && counter(b, "words_programmed=") < programmed)
        ; /* the loop is busy with something else: each turn is an answer of the board's */
    g_assert_true(wait_done(b));
    imp_port_submit(b->port, &finish);
    g_assert_true(wait_done(b));
    return b->n_progress;
}

/* Progress is given up, ends of commands never; what a slow loop sees is in order and bounded. */
static void test_slow_loop(void)
{
    Bench b;
    GError *error = NULL;
    bench_open(&b);
    imp_port_set_handler(b.port, on_event, &b);
    guint8 *bytes = g_malloc(DATA_BYTES);
    for (guint32 i = 0; i < DATA_BYTES; i++)
        bytes[i] = (guint8)(i * 7 + (i >> 8));
    ImpUnitSegment segment = {0, g_bytes_new_take(bytes, DATA_BYTES)};
    ImpUnitMap map = {&segment, 1};
    ImpContent content = {
        .device = imp_device_lookup("nRF51822", &error), .swd_hz = 4000000, .attach = IMP_ATTACH_NORMAL};
    g_assert_no_error(error);
    guint quick = flash(&b, &content, &map, TRUE);
    guint slow = flash(&b, &content, &map, FALSE);
    g_test_message("%u events of progress for a quick loop, %u for a slow one", quick, slow);
    g_assert_cmpuint(quick, >, 16); /* or this test fills no queue */
    g_assert_cmpuint(slow, <, quick);
    imp_device_free(content.device);
    g_bytes_unref(segment.bytes);
    bench_close(&b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launch/port/slow-loop", test_slow_loop);
    return g_test_run();
}
