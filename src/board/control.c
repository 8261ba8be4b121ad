#include "board/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COPY_BYTES 4096u

struct words {
    char text[IMP_CONTROL_LINE_MAX];
    char *word[IMP_CONTROL_WORDS_MAX + 1];
    unsigned count;
};

static void say(char reply[IMP_CONTROL_LINE_MAX], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(char reply[IMP_CONTROL_LINE_MAX], const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(reply, IMP_CONTROL_LINE_MAX, format, ap);
    va_end(ap);
    for (char *p = reply; *p; p++) /* a reply is one line, whatever a file name holds */
        if (*p == '\n' || *p == '\r')
            *p = '?';
}

/* Words are separated by spaces or tabs; a word in double quotes may hold them. */
static bool split(const char *line, struct words *w)
{
    w->count = 0;
    size_t n = strlen(line);
    if (n >= sizeof w->text)
        return false;
    memcpy(w->text, line, n + 1);
    for (char *p = w->text;;) {
        p += strspn(p, " \t");
        if (!*p)
            return true;
        if (w->count == IMP_CONTROL_WORDS_MAX)
            return false;
        bool quoted = *p == '"';
        p += quoted;
        w->word[w->count++] = p;
        p += strcspn(p, quoted ? "\"" : " \t");
        if (quoted && !*p)
            return false;
        if (*p)
            *p++ = 0;
    }
}

static bool number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    if (!text || *text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 0);
    if (errno || *end || v > max)
        return false;
    *out = v;
    return true;
}

/* One `key=value` of a fault. */
static bool take_fault_option(const char *word, struct imp_board_fault_options *o)
{
    static const struct {
        const char *key;
        size_t offset;
        uint64_t unit, max;
    } keys[] = {
        {"after=", offsetof(struct imp_board_fault_options, after_ns), 1000, UINT64_MAX / 1000},
        {"count=", offsetof(struct imp_board_fault_options, count), 1, UINT64_MAX},
        {"factor=", offsetof(struct imp_board_fault_options, factor), 1, UINT64_MAX},
        {"for=", offsetof(struct imp_board_fault_options, length_ns), 1000, UINT64_MAX / 1000},
        {"seed=", offsetof(struct imp_board_fault_options, seed), 1, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        uint64_t v;
        size_t n = strlen(keys[i].key);
        if (strncmp(word, keys[i].key, n) != 0)
            continue;
        if (!number(word + n, keys[i].max, &v))
            return false;
        v *= keys[i].unit;
        if (i == 1 && v == 0)
            v = IMP_BOARD_FAULT_EVER;
        memcpy((uint8_t *)o + keys[i].offset, &v, sizeof v);
        return true;
    }
    return false;
}

static bool take_fill(const char *word, enum imp_board_fill *out)
{
    if (strcmp(word, "blank") == 0)
        *out = IMP_BOARD_FILL_BLANK;
    else if (strcmp(word, "random") == 0)
        *out = IMP_BOARD_FILL_RANDOM;
    else if (strcmp(word, "keep") == 0)
        *out = IMP_BOARD_FILL_KEEP;
    else
        return false;
    return true;
}

static bool is_cell(enum imp_board_fault fault)
{
    return fault == IMP_BOARD_FAULT_STUCK_BIT || fault == IMP_BOARD_FAULT_STUCK_ZERO ||
           fault == IMP_BOARD_FAULT_WEAK_BIT;
}

/* The words behind a fault's name. */
static bool take_fault_words(const struct words *w, unsigned at, enum imp_board_fault fault,
                             struct imp_board_fault_options *o, char *reply)
{
    if (is_cell(fault)) {
        uint64_t addr, bit;
        if (w->count < at + 2 || !number(w->word[at], UINT32_MAX, &addr) ||
            !number(w->word[at + 1], 7, &bit)) {
            say(reply, "error %s needs ADDR and BIT (0 to 7)", imp_board_fault_name(fault));
            return false;
        }
        o->addr = (uint32_t)addr;
        o->bit = (unsigned)bit;
        at += 2;
    }
    for (; at < w->count; at++) {
        bool fill = fault == IMP_BOARD_FAULT_SWAP && take_fill(w->word[at], &o->fill);
        if (fill || take_fault_option(w->word[at], o))
            continue;
        say(reply, "error what is `%.40s`? A fault takes after=US, count=N, factor=N, for=US, seed=N",
            w->word[at]);
        return false;
    }
    return true;
}

static void name_faults(char *reply)
{
    size_t n = (size_t)snprintf(reply, IMP_CONTROL_LINE_MAX, "error fault must be one of");
    for (unsigned i = 0; i < IMP_BOARD_FAULT_KINDS; i++) {
        const char *name = imp_board_fault_name((enum imp_board_fault)i);
        if (name && n < IMP_CONTROL_LINE_MAX)
            n += (size_t)snprintf(reply + n, IMP_CONTROL_LINE_MAX - n, " %s", name);
    }
}

static bool set_fault(ImpBoard *b, const struct words *w, unsigned first, char *reply)
{
    const char *name = first < w->count ? w->word[first] : "", *why;
    for (unsigned i = 0; i < IMP_BOARD_FAULT_KINDS; i++) {
        enum imp_board_fault fault = (enum imp_board_fault)i;
        struct imp_board_fault_options o = {0};
        if (!imp_board_fault_name(fault) || strcmp(name, imp_board_fault_name(fault)) != 0)
            continue;
        if (!take_fault_words(w, first + 1, fault, &o, reply))
            return false;
        bool ok = imp_board_add_fault(b, fault, &o, &why);
        if (ok)
            say(reply, "ok");
        else
            say(reply, "error %s: %s", name, why);
        return ok;
    }
    name_faults(reply);
    return false;
}

bool imp_control_set_fault(ImpBoard *b, const char *text, char reply[IMP_CONTROL_LINE_MAX])
{
    struct words w;
    if (!split(text, &w)) {
        say(reply, "error too many words, or a quote is not closed");
        return false;
    }
    return set_fault(b, &w, 0, reply);
}

static void cmd_next(ImpBoard *b, const struct words *w, char *reply)
{
    uint64_t seed = 0;
    bool has_seed = false;
    enum imp_board_fill fill = IMP_BOARD_FILL_BLANK;
    char uid[IMP_BOARD_UID_TEXT_MAX];
    for (unsigned i = 1; i < w->count; i++) {
        if (strcmp(w->word[i], "random") == 0) {
            fill = IMP_BOARD_FILL_RANDOM;
        } else if (!has_seed && number(w->word[i], UINT64_MAX, &seed)) {
            has_seed = true;
        } else {
            say(reply, "error next takes a seed and the word `random`, both optional");
            return;
        }
    }
    if (has_seed)
        imp_board_next(b, seed, fill);
    else
        imp_board_next_any(b, fill);
    say(reply, "ok uid=%s", imp_board_get_uid(b, uid));
}

static void cmd_dump(ImpBoard *b, const struct words *w, char *reply)
{
    uint32_t base, flash_size;
    uint64_t addr, size;
    imp_board_get_flash_range(b, &base, &flash_size);
    addr = base, size = flash_size;
    if (w->count != 2 && (w->count != 4 || !number(w->word[2], UINT32_MAX, &addr) ||
                          !number(w->word[3], UINT32_MAX, &size) || size == 0)) {
        say(reply, "error dump takes FILE, or FILE ADDR SIZE");
        return;
    }
    uint8_t *bytes = malloc(size);
    if (!bytes || !imp_board_peek(b, (uint32_t)addr, bytes, size)) {
        free(bytes);
        say(reply, "error 0x%" PRIx64 " and %" PRIu64 " bytes are not in one memory of the chip", addr, size);
        return;
    }
    FILE *f = fopen(w->word[1], "wbe");
    bool ok = f && fwrite(bytes, 1, size, f) == size;
    int why = errno;
    if (f && fclose(f) != 0)
        ok = false, why = errno;
    free(bytes);
    if (ok)
        say(reply, "ok bytes=%" PRIu64, size);
    else
        say(reply, "error cannot write %s: %s", w->word[1], strerror(why));
}

static void cmd_load(ImpBoard *b, const struct words *w, char *reply)
{
    uint32_t base, flash_size;
    imp_board_get_flash_range(b, &base, &flash_size);
    uint64_t addr = base, done = 0;
    if (w->count < 2 || w->count > 3 || (w->count == 3 && !number(w->word[2], UINT32_MAX, &addr))) {
        say(reply, "error load takes FILE and ADDR (without ADDR: the start of flash)");
        return;
    }
    FILE *f = fopen(w->word[1], "rbe");
    if (!f) {
        say(reply, "error cannot read %s: %s", w->word[1], strerror(errno));
        return;
    }
    uint8_t buf[COPY_BYTES];
    size_t n;
    bool fits = true;
    while (fits && (n = fread(buf, 1, sizeof buf, f)) > 0) {
        fits = addr + done <= UINT32_MAX && imp_board_poke(b, (uint32_t)(addr + done), buf, n);
        done += fits ? n : 0;
    }
    bool bad = ferror(f);
    fclose(f);
    if (!fits)
        say(reply, "error byte %" PRIu64 " of %s is not in memory of the chip", done, w->word[1]);
    else if (bad)
        say(reply, "error cannot read %s", w->word[1]);
    else
        say(reply, "ok bytes=%" PRIu64, done);
}

static void cmd_status(ImpBoard *b, char *reply)
{
    struct imp_board_counters c;
    imp_board_get_counters(b, &c);
    say(reply,
        "ok present=%d powered=%d running=%d now_ns=%" PRIu64 " swclk=%" PRIu64 " packets=%" PRIu64
        " transfers=%" PRIu64 " waits=%" PRIu64 " faults=%" PRIu64 " no_acks=%" PRIu64
        " parity_errors=%" PRIu64 " pages_erased=%" PRIu64 " mass_erases=%" PRIu64
        " words_programmed=%" PRIu64 " first_erase_ns=%" PRIu64 " last_flash_op_end_ns=%" PRIu64
        " instructions=%" PRIu64,
        imp_board_is_present(b), imp_board_is_powered(b), imp_board_is_running(b), imp_board_now_ns(b),
        c.swclk, c.packets, c.transfers, c.waits, c.faults, c.no_acks, c.parity_errors, c.pages_erased,
        c.mass_erases, c.words_programmed, c.first_erase_ns, c.last_flash_op_end_ns, c.instructions);
}

static void cmd_power(ImpBoard *b, const struct words *w, char *reply)
{
    if (w->count != 2 || (strcmp(w->word[1], "on") != 0 && strcmp(w->word[1], "off") != 0)) {
        say(reply, "error power takes `on` or `off`");
        return;
    }
    imp_board_set_power(b, strcmp(w->word[1], "on") == 0);
    say(reply, "ok");
}

static void cmd_remove(ImpBoard *b, const struct words *w, char *reply)
{
    (void)w;
    imp_board_remove(b);
    say(reply, "ok");
}

static void cmd_insert(ImpBoard *b, const struct words *w, char *reply)
{
    (void)w;
    imp_board_insert(b);
    say(reply, "ok");
}

static void cmd_uid(ImpBoard *b, const struct words *w, char *reply)
{
    char uid[IMP_BOARD_UID_TEXT_MAX];
    (void)w;
    say(reply, "ok %s", imp_board_get_uid(b, uid));
}

static void cmd_state(ImpBoard *b, const struct words *w, char *reply)
{
    (void)w;
    cmd_status(b, reply);
}

static void cmd_reset_counters(ImpBoard *b, const struct words *w, char *reply)
{
    (void)w;
    imp_board_reset_counters(b);
    say(reply, "ok");
}

static void cmd_fault(ImpBoard *b, const struct words *w, char *reply)
{
    (void)set_fault(b, w, 1, reply);
}

/* Commands without words of their own have words_max 1. Alphabetical. */
static const struct {
    const char *name;
    unsigned words_max;
    void (*run)(ImpBoard *b, const struct words *w, char *reply);
} commands[] = {{"dump", 4, cmd_dump},     {"fault", IMP_CONTROL_WORDS_MAX, cmd_fault},
                {"insert", 1, cmd_insert}, {"load", 3, cmd_load},
                {"next", 3, cmd_next},     {"power", 2, cmd_power},
                {"remove", 1, cmd_remove}, {"reset-counters", 1, cmd_reset_counters},
                {"status", 1, cmd_state},  {"uid", 1, cmd_uid}};

bool imp_control_execute(ImpBoard *b, const char *line, char reply[IMP_CONTROL_LINE_MAX])
{
    struct words w;
    if (!split(line, &w)) {
        say(reply, "error line too long, too many words, or a quote is not closed");
        return true;
    }
    const char *name = w.count ? w.word[0] : "";
    if (strcmp(name, "quit") == 0) {
        say(reply, "ok");
        return false;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        if (w.count > commands[i].words_max)
            say(reply, "error %s takes at most %u words", name, commands[i].words_max - 1);
        else
            commands[i].run(b, &w, reply);
        return true;
    }
    say(reply,
        "error unknown command `%.40s`: dump, fault, insert, load, next, power, quit, remove, "
        "reset-counters, status, uid",
        name);
    return true;
}
