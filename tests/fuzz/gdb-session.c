/* A whole job over answers that a GDB server has changed: a small server in this process keeps RAM, flash and registers and plays the
 * flash algorithm; the engine attaches, reads the UID, erases, programs and reads back; the input says what becomes of the answers.
 * It is a row of changes, each four bytes:
 *
 *     so many answers after the one changed last (u8), what (u8, modulo CHANGES), where (u8), by (u8)
 *
 * Whatever comes: no crash, no hang, every failure has a code, and success means that flash holds what was to be written. */
#include "base/error.h"
#include "target/flash.h"
#include "target/gdb_packet.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHANGE_BYTES 4
#define RAM          0x20000000u
#define RAM_BYTES    (16 * 1024)
#define FLASH_BYTES  (8 * 1024)
#define PAGE         512
#define DATA_AT      0x400u
#define DATA_BYTES   900
#define PATIENCE_US  (20 * 1000) /* of the server with a client that waits for what does not come */
#define CPUID        0xE000ED00u
#define REGISTERS    26

enum { FLIP, CUT, GROW, WRONG_SUM, TWICE, CHATTER, DROP, CLOSE, CHANGES };
/* The algorithm's functions: nothing is executed, the server knows them by their place. */
enum { INIT = 0, UNINIT = 4, ERASE_SECTOR = 8, PROGRAM_PAGE = 12 };

typedef struct {
    int listener, fd;
    gboolean
        is_impatient; /* hangs up when nothing comes: else each lost answer would cost the engine's whole limit */
    const guint8 *changes;
    gsize n_bytes;
    guint wait;
    guint8 ram[RAM_BYTES], flash[FLASH_BYTES];
    guint32 registers[REGISTERS];
} Server;

static guint8 *memory(Server *s, guint32 address, gsize n_bytes)
{
    if (address >= RAM && address - RAM <= RAM_BYTES && n_bytes <= RAM_BYTES - (address - RAM))
        return s->ram + (address - RAM);
    return address <= FLASH_BYTES && n_bytes <= FLASH_BYTES - address ? s->flash + address : NULL;
}

static void send_frame(Server *s, const guint8 *payload, gsize n_bytes)
{
    g_autoptr(GByteArray) frame = g_byte_array_new();
    g_byte_array_append(frame, (const guint8 *)"+", 1);
    imp_gdb_frame(frame, payload, n_bytes);
    (void)!send(s->fd, frame->data, frame->len, MSG_NOSIGNAL);
}

static void begin_change(Server *s)
{
    s->wait = s->n_bytes >= CHANGE_BYTES ? s->changes[0] : G_MAXUINT;
}

/* FALSE: the connection ends. */
static gboolean answer(Server *s, const char *text)
{
    guint8 payload[IMP_GDB_PACKET_MAX];
    gsize n_bytes = MIN(strlen(text), sizeof payload - 256);
    memcpy(payload, text, n_bytes);
    if (s->wait == G_MAXUINT || s->wait-- > 0) {
        send_frame(s, payload, n_bytes);
        return TRUE;
    }
    guint8 what = s->changes[1] % CHANGES, where = s->changes[2], by = s->changes[3];
    s->changes += CHANGE_BYTES;
    s->n_bytes -= CHANGE_BYTES;
    begin_change(s);
    gsize at = n_bytes > 0 ? where % n_bytes : 0;
    switch (what) {
    case FLIP:
        if (strchr("#$}*", payload[at] ^ by) == NULL)
            payload[at] ^= by;
        break;
    case CUT:
        n_bytes = at;
        break;
    case GROW:
        memset(payload + n_bytes, 'a' + by % 26, by);
        n_bytes += by;
        break;
    case WRONG_SUM:
        (void)!send(s->fd, "+$OK#00", 7, MSG_NOSIGNAL);
        break;
    case TWICE:
        send_frame(s, payload, n_bytes);
        break;
    case CHATTER:
        for (guint i = 0; i < by; i++)
            send_frame(s, (const guint8 *)"O68690a", 7);
        break;
    case DROP:
        return TRUE;
    case CLOSE:
        return FALSE;
    }
    send_frame(s, payload, n_bytes);
    return TRUE;
}

/* Continue: one call of the algorithm, until its return address. */
static void play(Server *s)
{
    guint32 *r = s->registers;
    guint8 *to = memory(s, r[0], PAGE), *from = memory(s, r[2], r[1]);
    switch (r[15] % 16) {
    case ERASE_SECTOR:
        if (to != NULL)
            memset(to, 0xFF, PAGE);
        break;
    case PROGRAM_PAGE:
        if (memory(s, r[0], r[1]) != NULL && from != NULL)
            memcpy(memory(s, r[0], r[1]), from, r[1]);
        break;
    }
    r[0] = 0;
    r[15] = r[14] & ~1u;
}

static gboolean answer_memory(Server *s, const char *request)
{
    char *end;
    guint32 address = (guint32)strtoul(request + 1, &end, 16);
    gsize n_bytes = *end == ',' ? strtoul(end + 1, &end, 16) : 0;
    guint8 *at = memory(s, address, n_bytes), id[4] = {0x41, 0xC2, 0x0C, 0x41};
    if (address == CPUID && n_bytes == 4)
        at = id;
    if (at == NULL || n_bytes > 4096)
        return answer(s, "E01");
    if (request[0] == 'M') {
        if (*end != ':' || strlen(end + 1) < 2 * n_bytes ||
            !imp_gdb_unhex((const guint8 *)end + 1, at, n_bytes))
            return answer(s, "E02");
        return answer(s, "OK");
    }
    g_autoptr(GString) hex = g_string_new("");
    for (gsize i = 0; i < n_bytes; i++)
        g_string_append_printf(hex, "%02x", at[i]);
    return answer(s, hex->str);
}

static gboolean answer_register(Server *s, const char *request)
{
    char *end, text[9];
    gulong number = strtoul(request + 1, &end, 16) % REGISTERS;
    if (request[0] == 'P') {
        s->registers[number] = GUINT32_SWAP_LE_BE((guint32)strtoul(*end == '=' ? end + 1 : end, NULL, 16));
        return answer(s, "OK");
    }
    g_snprintf(text, sizeof text, "%08x", GUINT32_SWAP_LE_BE(s->registers[number]));
    return answer(s, text);
}

static gboolean answer_request(Server *s, const char *request)
{
    switch (request[0]) {
    case '?':
        return answer(s, "T05");
    case 'm':
    case 'M':
        return answer_memory(s, request);
    case 'p':
    case 'P':
        return answer_register(s, request);
    case 'c':
        play(s);
        return answer(s, "T05");
    case 'D':
    case 'Z':
    case 'z':
        return answer(s, "OK");
    default:
        if (g_str_has_prefix(request, "qSupported"))
            return answer(s, "PacketSize=400;qXfer:features:read-");
        return answer(s, g_str_has_prefix(request, "qRcmd") ? "OK" : "");
    }
}

static void serve_client(Server *s)
{
    g_autofree ImpGdbDecoder *decoder = g_new0(ImpGdbDecoder, 1);
    guint8 input[4096];
    for (;;) {
        ssize_t got = recv(s->fd, input, sizeof input, 0);
        if (got <= 0)
            return;
        for (ssize_t i = 0; i < got; i++)
            if (imp_gdb_take(decoder, input[i]) == IMP_GDB_PACKET &&
                !answer_request(s, (const char *)decoder->payload))
                return;
    }
}

static void *serve(void *data)
{
    Server *s = data;
    int one = 1;
    while ((s->fd = accept(s->listener, NULL, NULL)) >= 0) {
        const struct timeval patience = {.tv_usec = PATIENCE_US};
        setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (s->is_impatient)
            setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        serve_client(s);
        close(s->fd);
    }
    return NULL;
}

static int open_listener(char address[32])
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof any;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_true(bind(fd, (struct sockaddr *)&any, sizeof any) == 0 && listen(fd, 8) == 0 &&
                  getsockname(fd, (struct sockaddr *)&any, &size) == 0);
    g_snprintf(address, 32, "127.0.0.1:%u", ntohs(any.sin_port));
    return fd;
}

/* ---- the engine's side ---- */

static gboolean job(const char *address, const ImpDevice *device, GBytes *bytes, GError **error)
{
    const ImpFlashSegment segment = {DATA_AT, bytes};
    const ImpTargetOptions options = {0};
    guint8 uid[IMP_UID_BYTES_MAX];
    gsize n_uid;
    g_autoptr(ImpTarget) target = imp_target_attach_gdb(address, imp_clock_system(), &options, error);
    if (target == NULL || !imp_target_read_uid(target, device, uid, &n_uid, error))
        return FALSE;
    const ImpFlashJob work = {.erase = IMP_FLASH_ERASE_USED,
                              .program = TRUE,
                              .verify = IMP_FLASH_VERIFY_READ_BACK,
                              .segments = &segment,
                              .n_segments = 1};
    ImpFlash *flash = imp_flash_open(target, device, error);
    gboolean good = flash != NULL && imp_flash_run(flash, &work, NULL, error);
    imp_flash_close(flash);
    return good && imp_target_reset_run(target, error);
}

static void run(Server *s, const char *address, const ImpDevice *device)
{
    gboolean changed = s->n_bytes >= CHANGE_BYTES;
    guint8 data[DATA_BYTES];
    for (guint i = 0; i < DATA_BYTES; i++)
        data[i] = (guint8)(i * 29 + i / 256);
    g_autoptr(GBytes) bytes = g_bytes_new(data, sizeof data);
    g_autoptr(GError) error = NULL;
    if (job(address, device, bytes, &error)) {
        g_assert_cmpmem(s->flash + DATA_AT, DATA_BYTES, data, DATA_BYTES);
        return;
    }
    g_assert_true(error != NULL && error->domain == IMP_ERROR && imp_error_entry(error->code) != NULL);
    if (!changed)
        g_error("unchanged answers: E%d %s", error->code, error->message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    static const guint8 code[16] = {0};
    g_autoptr(GBytes) blob = g_bytes_new_static(code, sizeof code);
    ImpSectorRun sectors = {PAGE, 0};
    ImpAlgorithm algorithm = {.name = (char *)"fuzz",
                              .blob = blob,
                              .init = INIT,
                              .uninit = UNINIT,
                              .erase_chip = IMP_ENTRY_NONE,
                              .erase_sector = ERASE_SECTOR,
                              .program_page = PROGRAM_PAGE,
                              .blank_check = IMP_ENTRY_NONE,
                              .verify = IMP_ENTRY_NONE,
                              .size_bytes = FLASH_BYTES,
                              .page_bytes = PAGE,
                              .erased_byte = 0xFF,
                              .program_ms_max = 100,
                              .erase_ms_max = 100,
                              .sectors = &sectors,
                              .n_sectors = 1};
    ImpAlgorithm *algorithms[] = {&algorithm};
    const ImpDevice device = {.name = (char *)"fuzz",
                              .core_hz = 16000000,
                              .ram_start = RAM,
                              .ram_bytes = RAM_BYTES,
                              .uid_address = 0x10,
                              .uid_bytes = 8,
                              .algorithms = algorithms,
                              .n_algorithms = 1,
                              .erase_all_algorithm = -1,
                              .unlock_algorithm = -1};
    char address[32];
    g_autofree Server *server = g_new0(Server, 1);
    pthread_t thread;
    server->changes = data;
    server->n_bytes = n_bytes;
    server->is_impatient = n_bytes >= CHANGE_BYTES;
    begin_change(server);
    server->listener = open_listener(address);
    g_assert_cmpint(pthread_create(&thread, NULL, serve, server), ==, 0);
    run(server, address, &device);
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(server->listener);
    return 0;
}
