/* The text templates of pools: what they may say (imp_pool_template_fault), and one text made from one. */
#include "ledger/template.h"

#include <string.h>

#define WIDTH_HEX_MAX 16
#define DATE_MAX      16 /* characters of a {date:…} */

typedef enum {
    PIECE_END = 2,
    PIECE_LITERAL,
    PIECE_NUMBER,
    PIECE_DATE,
    PIECE_LUHN,
    PIECE_MOD97,
    PIECE_WRONG,
} PieceKind;

typedef struct {
    PieceKind kind;
    const char *from; /* literal: the characters; else what stands between the braces */
    gsize n;
    guint32 width; /* number; 0 = as many digits as it has */
    gboolean hexadecimal, upper; /* number */
} Piece;

static const struct {
    const char *word,
        *format; /* format of g_date_time_format; yy and yyyy beside ww: those of the ISO week's year */
    const char *of_week;
    guint n;
} date_words[] = {
    {"yyyy", "%Y", "%G", 4}, {"yy", "%y", "%g", 2}, {"ddd", "%j", NULL, 3},
    {"dd", "%d", NULL, 2},   {"mm", "%m", NULL, 2}, {"ww", "%V", "%V", 2},
};

/* "n", "n:06", "n:04x", "n:04X" */
static gboolean read_number(Piece *piece)
{
    const char *c = piece->from;
    gsize n = piece->n;
    if (n == 0 || c[0] != 'n')
        return FALSE;
    if (n == 1)
        return TRUE;
    if (c[n - 1] == 'x' || c[n - 1] == 'X') {
        piece->hexadecimal = TRUE;
        piece->upper = c[n - 1] == 'X';
        n--;
    }
    if (n < 4 || n > 5 || strncmp(c, "n:0", 3) != 0 || c[3] == '0')
        return FALSE;
    for (gsize i = 3; i < n; i++) {
        if (!g_ascii_isdigit(c[i]))
            return FALSE;
        piece->width = piece->width * 10 + (guint32)(c[i] - '0');
    }
    return piece->width <= (piece->hexadecimal ? WIDTH_HEX_MAX : IMP_POOL_WIDTH_MAX);
}

/* The next word of a date at c; -1 = none. */
static int date_word(const char *c, gsize n)
{
    for (gsize i = 0; i < G_N_ELEMENTS(date_words); i++) {
        gsize length = strlen(date_words[i].word);
        if (length <= n && strncmp(c, date_words[i].word, length) == 0)
            return (int)i;
    }
    return -1;
}

/* Of the words behind "date:": are they known, and do they belong together? */
static gboolean date_ok(const char *c, gsize n, gboolean *out_week)
{
    gboolean week = FALSE, of_year = FALSE;
    if (n == 0 || n > DATE_MAX)
        return FALSE;
    while (n > 0) {
        int word = date_word(c, n);
        if (word < 0)
            return FALSE;
        gsize length = strlen(date_words[word].word);
        week = week || date_words[word].word[0] == 'w';
        /* A month beside the year of a week would be wrong around New Year. */
        of_year = of_year || date_words[word].of_week == NULL;
        c += length;
        n -= length;
    }
    *out_week = week;
    return !(week && of_year);
}

static void read_placeholder(Piece *piece)
{
    gboolean week;
    if (piece->n == 4 && strncmp(piece->from, "luhn", 4) == 0)
        piece->kind = PIECE_LUHN;
    else if (piece->n == 5 && strncmp(piece->from, "mod97", 5) == 0)
        piece->kind = PIECE_MOD97;
    else if (piece->n > 5 && strncmp(piece->from, "date:", 5) == 0 &&
             date_ok(piece->from + 5, piece->n - 5, &week))
        piece->kind = PIECE_DATE;
    else if (read_number(piece))
        piece->kind = PIECE_NUMBER;
    else
        piece->kind = PIECE_WRONG;
}

/* The piece at *at, which moves behind it. A brace without its other half is wrong. */
static Piece next_piece(const char **at)
{
    Piece piece = {.kind = PIECE_LITERAL, .from = *at};
    if (**at == '\0') {
        piece.kind = PIECE_END;
        return piece;
    }
    if (**at != '{') {
        piece.n = strcspn(*at, "{}");
        *at += piece.n;
        if (piece.n == 0)
            piece.kind = PIECE_WRONG; /* a stray } */
        return piece;
    }
    piece.from = *at + 1;
    piece.n = strcspn(piece.from, "{}");
    if (piece.from[piece.n] != '}') {
        piece.kind = PIECE_WRONG;
        return piece;
    }
    *at = piece.from + piece.n + 1;
    read_placeholder(&piece);
    return piece;
}

static char *wrong_piece(const Piece *piece)
{
    if (piece->from[piece->n] == '}' && piece->n > 0)
        return g_strdup_printf(
            "the placeholder {%.*s} is not known: there are {n}, {n:06}, {n:04X}, {date:…} of yyyy "
            "yy mm dd ddd or yyyy yy ww, {luhn} and {mod97}",
            (int)piece->n, piece->from);
    return g_strdup("'{' and '}' must stand in pairs around a placeholder");
}

char *imp_pool_template_fault(const char *text, guint32 *out_digits, gboolean *out_hexadecimal)
{
    guint numbers = 0, checks = 0;
    guint32 digits = 0;
    gboolean hexadecimal = FALSE;
    if (strlen(text) > IMP_POOL_TEMPLATE_MAX)
        return g_strdup_printf("it is longer than %d characters", IMP_POOL_TEMPLATE_MAX);
    for (const char *c = text; *c != '\0'; c++)
        if (*c < 0x20 || *c > 0x7e)
            return g_strdup("it holds something else than printable ASCII characters");
    for (const char *at = text;;) {
        Piece piece = next_piece(&at);
        if (piece.kind == PIECE_END)
            break;
        if (piece.kind == PIECE_WRONG)
            return wrong_piece(&piece);
        if (piece.kind == PIECE_NUMBER) {
            numbers++;
            digits = piece.width;
            hexadecimal = piece.hexadecimal;
        }
        if (piece.kind == PIECE_LUHN || piece.kind == PIECE_MOD97) {
            checks++;
            if (numbers == 0)
                return g_strdup("the check digit must stand behind the number, or it does not check it");
            if (piece.kind == PIECE_LUHN && hexadecimal)
                return g_strdup("{luhn} checks decimal digits only: use {mod97} with a hexadecimal number");
        }
    }
    if (numbers != 1)
        return g_strdup("it needs exactly one {n} or {n:06} where the number goes");
    if (checks > 1)
        return g_strdup("it may have one {luhn} or {mod97}");
    if (out_digits != NULL)
        *out_digits = digits;
    if (out_hexadecimal != NULL)
        *out_hexadecimal = hexadecimal;
    return NULL;
}

gboolean template_has_date(const char *text)
{
    return strstr(text, "{date:") != NULL; /* braces are nothing else in a template without a fault */
}

static void add_date(GString *out, const Piece *piece, gint64 real_us)
{
    const char *c = piece->from + strlen("date:");
    gsize n = piece->n - strlen("date:");
    gboolean week = FALSE;
    gboolean ok = date_ok(c, n, &week);
    g_assert(ok);
    g_autoptr(GDateTime) day = g_date_time_new_from_unix_utc(real_us / G_USEC_PER_SEC);
    if (day == NULL) /* a clock beyond the calendar */
        day = g_date_time_new_from_unix_utc(0);
    while (n > 0) {
        int word = date_word(c, n);
        g_assert(word >= 0);
        g_autofree char *part =
            g_date_time_format(day, week ? date_words[word].of_week : date_words[word].format);
        g_string_append(out, part);
        c += strlen(date_words[word].word);
        n -= strlen(date_words[word].word);
    }
}

/* ISO/IEC 7812-1, annex B: every second digit from the right is doubled, beginning next to the check digit. */
static char luhn(const char *text)
{
    guint sum = 0;
    gboolean twice = TRUE;
    for (gsize i = strlen(text); i > 0; i--) {
        if (!g_ascii_isdigit(text[i - 1]))
            continue;
        guint digit = (guint)(text[i - 1] - '0') * (twice ? 2 : 1);
        sum += digit > 9 ? digit - 9 : digit;
        twice = !twice;
    }
    return (char)('0' + (10 - sum % 10) % 10);
}

/* ISO/IEC 7064, MOD 97-10, as bank account numbers use it: letters count 10 to 35, small like capital ones. */
static guint mod97(const char *text)
{
    guint rest = 0;
    for (const char *c = text; *c != '\0'; c++) {
        if (g_ascii_isdigit(*c))
            rest = (rest * 10 + (guint)(*c - '0')) % 97;
        else if (g_ascii_isalpha(*c))
            rest = (rest * 100 + (guint)(g_ascii_toupper(*c) - 'A') + 10) % 97;
    }
    return 98 - rest * 100 % 97;
}

char *template_text(const char *text, guint64 number, gint64 real_us)
{
    GString *out = g_string_new(NULL);
    for (const char *at = text;;) {
        Piece piece = next_piece(&at);
        switch (piece.kind) {
        case PIECE_END:
            return g_string_free(out, FALSE);
        case PIECE_LITERAL:
            g_string_append_len(out, piece.from, (gssize)piece.n);
            break;
        case PIECE_NUMBER:
            if (piece.hexadecimal && piece.upper)
                g_string_append_printf(out, "%0*" G_GINT64_MODIFIER "X", (int)piece.width, number);
            else if (piece.hexadecimal)
                g_string_append_printf(out, "%0*" G_GINT64_MODIFIER "x", (int)piece.width, number);
            else
                g_string_append_printf(out, "%0*" G_GUINT64_FORMAT, (int)MAX(piece.width, 1), number);
            break;
        case PIECE_DATE:
            add_date(out, &piece, real_us);
            break;
        case PIECE_LUHN:
            g_string_append_c(out, luhn(out->str));
            break;
        case PIECE_MOD97:
            g_string_append_printf(out, "%02u", mod97(out->str));
            break;
        case PIECE_WRONG:
            g_assert_not_reached(); /* checked when the pool was read */
        }
    }
}
