/* CMSIS-DAP over TCP against a partner that answers byte by byte what the test says: good, strange, cut off, silent. */
#include "base/error.h"
#include "target/probe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    int listener, peer;
    char spec[64];
    ImpProbe *probe;
} Pair;

/* A listener on a free port; the connection waits in its backlog until it is accepted, so one thread is enough. */
static void open_pair(Pair *p)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(p->listener, (struct sockaddr *)&address, size), ==, 0);
    g_assert_cmpint(listen(p->listener, 1), ==, 0);
    g_assert_cmpint(getsockname(p->listener, (struct sockaddr *)&address, &size), ==, 0);
    g_snprintf(p->spec, sizeof p->spec, "tcp:127.0.0.1:%u", ntohs(address.sin_port));
    GError *error = NULL;
    p->probe = imp_probe_open(p->spec, imp_clock_system(), &error);
    g_assert_no_error(error);
    p->peer = accept(p->listener, NULL, NULL);
    g_assert_cmpint(p->peer, >=, 0);
}

static void close_pair(Pair *p)
{
    imp_probe_close(p->probe);
    if (p->peer >= 0)
        close(p->peer);
    close(p->listener);
}

static void say(Pair *p, const void *bytes, gsize n_bytes)
{
    g_assert_cmpint(send(p->peer, bytes, n_bytes, MSG_NOSIGNAL), ==, (gssize)n_bytes);
}

/* What goes out is framed as OpenOCD frames it; answers come in order, even many in one piece or one in many. */
static void test_frames(void)
{
    Pair p;
    open_pair(&p);
    static const guint8 one[] = {0x00, 0xFF}, two[] = {0x02, 0x01};
    g_assert_true(imp_probe_submit(p.probe, one, sizeof one, NULL));
    g_assert_true(imp_probe_submit(p.probe, two, sizeof two, NULL));
    static const guint8 sent[] = {'D', 'A', 'P', 0, 2, 0, 1, 0, 0x00, 0xFF,
                                  'D', 'A', 'P', 0, 2, 0, 1, 0, 0x02, 0x01};
    guint8 seen[sizeof sent];
    g_assert_cmpint(recv(p.peer, seen, sizeof seen, MSG_WAITALL), ==, sizeof seen);
    g_assert_cmpmem(seen, sizeof seen, sent, sizeof sent);
    static const guint8 answers[] = {'D',  'A', 'P', 0,   4, 0, 2, 0, 0x00, 2,    0x00,
                                     0x02, 'D', 'A', 'P', 0, 2, 0, 2, 0,    0x02, 0x01};
    say(&p, answers, 15);
    guint8 response[8];
    gsize n_bytes;
    g_assert_true(imp_probe_collect(p.probe, response, sizeof response, &n_bytes, 5000, NULL));
    g_assert_cmpmem(response, n_bytes, answers + 8, 4);
    say(&p, answers + 15, sizeof answers - 15);
    g_assert_true(imp_probe_collect(p.probe, response, sizeof response, &n_bytes, 5000, NULL));
    g_assert_cmpmem(response, n_bytes, two, 2);
    close_pair(&p);
}

static void test_strange_answers(void)
{
    static const struct {
        const char *name;
        guint8 bytes[16];
        gsize n_bytes;
        gboolean hang_up;
        int code;
    } rows[] = {
        {"signature", {'D', 'A', 'Q', 0, 2, 0, 2, 0, 1, 2}, 10, FALSE, IMP_E_PROBE_PROTOCOL},
        {"a request's type", {'D', 'A', 'P', 0, 2, 0, 1, 0, 1, 2}, 10, FALSE, IMP_E_PROBE_PROTOCOL},
        {"no bytes", {'D', 'A', 'P', 0, 0, 0, 2, 0}, 8, FALSE, IMP_E_PROBE_PROTOCOL},
        {"more than fits",
         {'D', 'A', 'P', 0, 9, 0, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8},
         16,
         FALSE,
         IMP_E_PROBE_PROTOCOL},
        {"64 KiB", {'D', 'A', 'P', 0, 0xFF, 0xFF, 2, 0}, 8, FALSE, IMP_E_PROBE_PROTOCOL},
        {"a web server", {'H', 'T', 'T', 'P', '/', '1', '.', '1', ' ', '4'}, 10, FALSE, IMP_E_PROBE_PROTOCOL},
        {"hung up", {0}, 0, TRUE, IMP_E_PROBE_LOST},
        {"hung up in the header", {'D', 'A', 'P', 0}, 4, TRUE, IMP_E_PROBE_LOST},
        {"hung up in the answer", {'D', 'A', 'P', 0, 4, 0, 2, 0, 1}, 9, TRUE, IMP_E_PROBE_LOST},
        {"silent", {0}, 0, FALSE, IMP_E_PROBE_TIMEOUT},
        {"silent in the header", {'D', 'A', 'P'}, 3, FALSE, IMP_E_PROBE_TIMEOUT},
        {"silent in the answer", {'D', 'A', 'P', 0, 4, 0, 2, 0, 1}, 9, FALSE, IMP_E_PROBE_TIMEOUT},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        Pair p;
        open_pair(&p);
        g_test_message("%s", rows[i].name);
        g_assert_true(imp_probe_submit(p.probe, (const guint8[]){0, 1}, 2, NULL));
        say(&p, rows[i].bytes, rows[i].n_bytes);
        if (rows[i].hang_up)
            shutdown(p.peer, SHUT_WR);
        guint8 response[8];
        gsize n_bytes = 77;
        g_autoptr(GError) error = NULL;
        g_assert_false(imp_probe_collect(p.probe, response, sizeof response, &n_bytes, 20, &error));
        g_assert_cmpint(imp_error_code(error), ==, rows[i].code);
        g_assert_cmpuint(n_bytes, ==, 77);
        g_assert_nonnull(strstr(error->message, p.spec));
        close_pair(&p);
    }
}

static void test_specs(void)
{
    static const struct {
        const char *spec;
        int code;
    } rows[] = {
        {"", IMP_E_ARGUMENT},
        {"tcp", IMP_E_ARGUMENT},
        {"tcp:", IMP_E_ARGUMENT},
        {"tcp::4441", IMP_E_ARGUMENT},
        {"tcp:host:", IMP_E_ARGUMENT},
        {"tcp:host:0", IMP_E_ARGUMENT},
        {"tcp:h:65536", IMP_E_ARGUMENT},
        {"tcp:h:12x", IMP_E_ARGUMENT},
        {"tcp:[::1", IMP_E_ARGUMENT},
        {"tcp:[::1]x", IMP_E_ARGUMENT},
        {"tcp:[]:1", IMP_E_ARGUMENT},
        {"serial:/dev/x", IMP_E_ARGUMENT},
        {"usb", IMP_E_ARGUMENT},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(imp_probe_open(rows[i].spec, imp_clock_system(), &error));
        g_assert_cmpint(imp_error_code(error), ==, rows[i].code);
    }
}

/* A port where nobody listens any more. */
static void test_refused(void)
{
    Pair p;
    open_pair(&p);
    char spec[sizeof p.spec];
    g_strlcpy(spec, p.spec, sizeof spec);
    close_pair(&p);
    g_autoptr(GError) error = NULL;
    g_assert_null(imp_probe_open(spec, imp_clock_system(), &error));
    g_assert_cmpint(imp_error_code(error), ==, IMP_E_PROBE_NOT_FOUND);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/target/tcp/frames", test_frames);
    g_test_add_func("/target/tcp/strange-answers", test_strange_answers);
    g_test_add_func("/target/tcp/specs", test_specs);
    g_test_add_func("/target/tcp/refused", test_refused);
    return g_test_run();
}
