/* Sources: SCPI-1999 volume 1 (syntax: short and long form, case does not count) and 2 (the commands and error numbers). Every
 * command is taken from the root, with or without a colon before it: relative headers of compound messages are not modelled. */
#include "board/supply.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SET_MV_DEFAULT   3300u
#define LIMIT_MA_DEFAULT 100u
#define LOAD_MA_DEFAULT  20u
#define PIECES_MAX       8u /* commands of a message */

enum {
    E_SYNTAX = -102,
    E_PARAMETER = -104,
    E_HEADER = -113,
    E_MISSING = -109,
    E_RANGE = -222,
    E_OVERFLOW = -350,
};

static const char *error_text(int number)
{
    switch (number) {
    case 0:
        return "No error";
    case E_SYNTAX:
        return "Syntax error";
    case E_PARAMETER:
        return "Data type error";
    case E_MISSING:
        return "Missing parameter";
    case E_HEADER:
        return "Undefined header";
    case E_RANGE:
        return "Data out of range";
    default:
        return "Queue overflow";
    }
}

static void add_error(struct imp_supply *s, int number)
{
    if (s->error_count == IMP_SUPPLY_ERRORS_MAX)
        s->errors[IMP_SUPPLY_ERRORS_MAX - 1] = E_OVERFLOW;
    else
        s->errors[s->error_count++] = number;
}

static int take_error(struct imp_supply *s)
{
    if (s->error_count == 0)
        return 0;
    int number = s->errors[0];
    memmove(s->errors, s->errors + 1, --s->error_count * sizeof *s->errors);
    return number;
}

/* What is at the output. */
static uint32_t real_mv(const struct imp_supply *s)
{
    if (!s->output)
        return 0;
    return s->load_ma <= s->limit_ma ? s->set_mv : (uint32_t)((uint64_t)s->set_mv * s->limit_ma / s->load_ma);
}

static void apply(struct imp_supply *s)
{
    bool on = real_mv(s) >= IMP_SUPPLY_CHIP_MV;
    if (on != imp_board_is_powered(s->board))
        imp_board_set_power(s->board, on);
}

static void set_defaults(struct imp_supply *s)
{
    s->output = false;
    s->set_mv = SET_MV_DEFAULT;
    s->limit_ma = LIMIT_MA_DEFAULT;
}

void imp_supply_init(struct imp_supply *s, ImpBoard *board)
{
    memset(s, 0, sizeof *s);
    s->board = board;
    s->load_ma = LOAD_MA_DEFAULT;
    set_defaults(s);
    apply(s);
}

/* ---- SCPI ---- */

/* A number in base units as thousandths; false: not a number, or not within 0 to max. */
static bool thousandths(const char *text, uint32_t max, uint32_t *out, int *why)
{
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    *why = E_PARAMETER;
    if (end == text || strspn(text, "+-.0123456789eE") != strlen(text) || *end)
        return false;
    *why = E_RANGE;
    if (!(v >= 0 && v * 1000 <= max))
        return false;
    *out = (uint32_t)(v * 1000 + 0.5);
    return true;
}

static bool on_or_off(const char *text, bool *out)
{
    static const struct {
        const char *word;
        bool on;
    } words[] = {{"ON", true}, {"1", true}, {"OFF", false}, {"0", false}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i].word) == 0) {
            *out = words[i].on;
            return true;
        }
    }
    return false;
}

/* A command: argument is NULL for a query. answer has room for IMP_SUPPLY_LINE_MAX bytes. */
typedef void (*Command)(struct imp_supply *s, const char *argument, char *answer);

static void say_thousandths(char *answer, int64_t value)
{
    snprintf(answer, IMP_SUPPLY_LINE_MAX, "%+.5E", (double)value / 1000);
}

static void do_voltage(struct imp_supply *s, const char *argument, char *answer)
{
    int why;
    if (!argument)
        say_thousandths(answer, s->set_mv);
    else if (!thousandths(argument, IMP_SUPPLY_MV_MAX, &s->set_mv, &why))
        add_error(s, why);
}

static void do_current(struct imp_supply *s, const char *argument, char *answer)
{
    int why;
    if (!argument)
        say_thousandths(answer, s->limit_ma);
    else if (!thousandths(argument, IMP_SUPPLY_MA_MAX, &s->limit_ma, &why))
        add_error(s, why);
}

static void do_output(struct imp_supply *s, const char *argument, char *answer)
{
    if (!argument)
        snprintf(answer, IMP_SUPPLY_LINE_MAX, "%d", s->output);
    else if (!on_or_off(argument, &s->output))
        add_error(s, E_PARAMETER);
}

static void do_channel(struct imp_supply *s, const char *argument, char *answer)
{
    if (!argument)
        snprintf(answer, IMP_SUPPLY_LINE_MAX, "1");
    else if (strcmp(argument, "1") != 0)
        add_error(s, E_RANGE); /* it has one output */
}

static void do_measure_voltage(struct imp_supply *s, const char *argument, char *answer)
{
    (void)argument;
    say_thousandths(answer, (int64_t)real_mv(s) + (s->output ? s->error_mv : 0));
}

static void do_measure_current(struct imp_supply *s, const char *argument, char *answer)
{
    (void)argument;
    say_thousandths(answer, !s->output ? 0 : s->load_ma < s->limit_ma ? s->load_ma : s->limit_ma);
}

static void do_error(struct imp_supply *s, const char *argument, char *answer)
{
    int number = take_error(s);
    (void)argument;
    snprintf(answer, IMP_SUPPLY_LINE_MAX, "%+d,\"%s\"", number, error_text(number));
}

static void do_identity(struct imp_supply *s, const char *argument, char *answer)
{
    (void)s;
    (void)argument;
    snprintf(answer, IMP_SUPPLY_LINE_MAX, "Imprint,virtual supply,0,1");
}

static void do_complete(struct imp_supply *s, const char *argument, char *answer)
{
    (void)s;
    (void)argument;
    snprintf(answer, IMP_SUPPLY_LINE_MAX, "1");
}

static void do_clear(struct imp_supply *s, const char *argument, char *answer)
{
    (void)argument;
    (void)answer;
    s->error_count = 0;
}

static void do_reset(struct imp_supply *s, const char *argument, char *answer)
{
    (void)argument;
    (void)answer;
    set_defaults(s);
}

enum { SET = 1, QUERY = 2, PLAIN = 4 }; /* with an argument, with a question mark, with neither */

/* Capitals: the short form. */
static const struct {
    const char *header;
    unsigned forms;
    Command run;
} commands[] = {
    {"*CLS", PLAIN, do_clear},
    {"*IDN", QUERY, do_identity},
    {"*OPC", QUERY, do_complete},
    {"*RST", PLAIN, do_reset},
    {"CURRent", SET | QUERY, do_current},
    {"INSTrument:NSELect", SET | QUERY, do_channel},
    {"MEASure:CURRent", QUERY, do_measure_current},
    {"MEASure:CURRent:DC", QUERY, do_measure_current},
    {"MEASure:VOLTage", QUERY, do_measure_voltage},
    {"MEASure:VOLTage:DC", QUERY, do_measure_voltage},
    {"OUTPut", SET | QUERY, do_output},
    {"OUTPut:STATe", SET | QUERY, do_output},
    {"SOURce:CURRent", SET | QUERY, do_current},
    {"SOURce:VOLTage", SET | QUERY, do_voltage},
    {"SYSTem:ERRor", QUERY, do_error},
    {"SYSTem:ERRor:NEXT", QUERY, do_error},
    {"VOLTage", SET | QUERY, do_voltage},
};

/* One node of a header against its pattern: the short or the long form, and nothing between. */
static bool node_is(const char *text, size_t n, const char *pattern, size_t pattern_n)
{
    size_t short_n = 0;
    while (short_n < pattern_n && !islower((unsigned char)pattern[short_n]))
        short_n++;
    if (n != short_n && n != pattern_n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (toupper((unsigned char)text[i]) != toupper((unsigned char)pattern[i]))
            return false;
    return true;
}

static bool header_is(const char *text, const char *pattern)
{
    for (;;) {
        size_t n = strcspn(text, ":"), pattern_n = strcspn(pattern, ":");
        if (!node_is(text, n, pattern, pattern_n))
            return false;
        text += n;
        pattern += pattern_n;
        if (!*text || !*pattern)
            return !*text && !*pattern;
        text++;
        pattern++;
    }
}

/* Takes spaces off both ends, in place. */
static char *trim(char *text)
{
    text += strspn(text, " \t\r");
    size_t n = strlen(text);
    while (n && strchr(" \t\r", text[n - 1]))
        text[--n] = 0;
    return text;
}

static void execute_one(struct imp_supply *s, char *text, char *answer)
{
    answer[0] = 0;
    text += *text == ':';
    size_t n = strcspn(text, " \t");
    char *argument = text[n] ? trim(text + n) : NULL;
    text[n] = 0;
    bool query = n && text[n - 1] == '?';
    if (query)
        text[n - 1] = 0;
    for (char *p = argument; p && *p; p++)
        *p = (char)toupper((unsigned char)*p);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (!header_is(text, commands[i].header))
            continue;
        unsigned form = query ? QUERY : argument ? SET : PLAIN;
        if (query && argument)
            add_error(s, E_SYNTAX);
        else if (commands[i].forms & form)
            commands[i].run(s, query ? NULL : argument, answer);
        else
            add_error(s, form == PLAIN && (commands[i].forms & SET) ? E_MISSING : E_HEADER);
        apply(s);
        return;
    }
    add_error(s, E_HEADER);
}

void imp_supply_execute(struct imp_supply *s, const char *message, char answer[IMP_SUPPLY_LINE_MAX])
{
    char copy[IMP_SUPPLY_LINE_MAX], one[IMP_SUPPLY_LINE_MAX];
    size_t used = 0, n = strlen(message);
    answer[0] = 0;
    if (n >= sizeof copy) {
        add_error(s, E_SYNTAX);
        return;
    }
    memcpy(copy, message, n + 1);
    char *rest = copy;
    for (unsigned i = 0; i < PIECES_MAX && rest; i++) {
        char *text = rest;
        rest = strchr(text, ';');
        if (rest)
            *rest++ = 0;
        text = trim(text);
        if (!*text)
            continue;
        execute_one(s, text, one);
        size_t one_n = strlen(one), gap = used && one_n;
        if (used + gap + one_n >= IMP_SUPPLY_LINE_MAX) {
            add_error(s, E_OVERFLOW);
            return;
        }
        if (gap)
            answer[used++] = ';';
        memcpy(answer + used, one, one_n + 1);
        used += one_n;
    }
    if (rest)
        add_error(s, E_SYNTAX);
}

/* ---- control ---- */

void imp_supply_control(struct imp_supply *s, const char *words, char reply[IMP_SUPPLY_LINE_MAX])
{
    char name[16], *end;
    int at = 0;
    long value = 0;
    if (sscanf(words, " %15s %n", name, &at) == 1 && words[at]) {
        errno = 0;
        value = strtol(words + at, &end, 10);
        bool good = !errno && end != words + at && !*end;
        if (good && strcmp(name, "error") == 0 && labs(value) <= (long)IMP_SUPPLY_MV_MAX) {
            s->error_mv = (int32_t)value;
            snprintf(reply, IMP_SUPPLY_LINE_MAX, "ok");
            return;
        }
        if (good && strcmp(name, "load") == 0 && value >= 0 && value <= 1000000) {
            s->load_ma = (uint32_t)value;
            apply(s);
            snprintf(reply, IMP_SUPPLY_LINE_MAX, "ok");
            return;
        }
    } else if (sscanf(words, " %15s", name) == 1 && strcmp(name, "status") == 0) {
        snprintf(reply, IMP_SUPPLY_LINE_MAX,
                 "ok output=%d set_mv=%u real_mv=%u limit_ma=%u load_ma=%u error_mv=%d", s->output, s->set_mv,
                 real_mv(s), s->limit_ma, s->load_ma, (int)s->error_mv);
        return;
    }
    snprintf(reply, IMP_SUPPLY_LINE_MAX,
             "error supply takes `status`, `error MILLIVOLTS` (measured minus real) or `load MILLIAMPERES`");
}
