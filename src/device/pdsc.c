#include "device/pdsc-internal.h"

#include <libxml/xmlreader.h>
#include <string.h>

static const char *const attribute_names[PDSC_ATTRIBUTES] = {
    [PDSC_PNAME] = "Pname",
    [PDSC_CORE] = "Dcore",
    [PDSC_CLOCK] = "Dclock",
    [PDSC_NAME] = "name",
    [PDSC_ID] = "id",
    [PDSC_ACCESS] = "access",
    [PDSC_START] = "start",
    [PDSC_SIZE] = "size",
    [PDSC_DEFAULT] = "default",
    [PDSC_RAM_START] = "RAMstart",
    [PDSC_RAM_SIZE] = "RAMsize",
    [PDSC_STYLE] = "style",
    [PDSC_ENDIAN] = "endian",
    [PDSC_DP] = "__dp",
    [PDSC_AP] = "__ap",
    [PDSC_APID] = "__apid",
    [PDSC_INDEX] = "index",
    [PDSC_ADDRESS] = "address",
};

/* What an element on the way down is. */
typedef enum {
    IN_OTHER = 0, /* nothing that counts */
    IN_PACKAGE,
    IN_VENDOR,
    IN_NAME,
    IN_RELEASES,
    IN_DEVICES,
    IN_LEVEL,
} Place;

typedef struct {
    ImpPdsc *pdsc;
    xmlTextReader *reader;
    Place places[IMP_PDSC_DEPTH_MAX]; /* [0] is the outermost element */
    PdscLevel *levels[IMP_PDSC_DEPTH_MAX]; /* where places[] is IN_LEVEL */
    guint nodes, properties;
    char *why; /* libxml2's first complaint */
    int why_line;
} Parser;

static gboolean refuse(const Parser *p, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);
static gboolean refuse(const Parser *p, GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *why = g_strdup_vprintf(format, args);
    va_end(args);
    imp_error_set(error, IMP_E_PACK_FILE, "%s:%d: %s", p->pdsc->what,
                  p->reader != NULL ? xmlTextReaderGetParserLineNumber(p->reader) : 1, why);
    return FALSE;
}

gboolean imp_pdsc_number(const char *text, guint64 *out_number)
{
    g_autofree char *copy = g_strstrip(g_strdup(text));
    gboolean hex = g_ascii_strncasecmp(copy, "0x", 2) == 0;
    return g_ascii_string_to_unsigned(copy + (hex ? 2 : 0), hex ? 16 : 10, 0, G_MAXUINT64, out_number, NULL);
}

/* ---- what stands before the parser ---- */

static gboolean contains(const char *bytes, gsize n_bytes, const char *word)
{
    return memmem(bytes, n_bytes, word, strlen(word)) != NULL;
}

/* A document type is where entities are declared; no description has one. Found in the bytes, so that libxml2 never sees it;
 * which is why only encodings are allowed in which ASCII is ASCII. */
static gboolean check_bytes(const Parser *p, const char *bytes, gsize n_bytes, GError **error)
{
    static const char *const encodings[] = {"utf-8", "us-ascii", "iso-8859-1", "windows-1252"};
    if (n_bytes > IMP_PDSC_BYTES_MAX)
        return refuse(p, error, "it has %zu bytes, the limit is %u", n_bytes, IMP_PDSC_BYTES_MAX);
    if (memchr(bytes, '\0', n_bytes) != NULL)
        return refuse(p, error, "it has a byte 0: only UTF-8 is read");
    if (contains(bytes, n_bytes, "<!DOCTYPE") || contains(bytes, n_bytes, "<!ENTITY"))
        return refuse(p, error, "it has a document type or an entity of its own, which no description needs");
    g_autofree char *head = g_strndup(bytes, MIN(n_bytes, 256));
    char *end = strstr(head, "?>");
    if (end != NULL)
        *end = '\0';
    const char *encoding = strstr(head, "encoding");
    const char *quote = encoding != NULL ? strpbrk(encoding, "'\"") : NULL;
    if (end == NULL || quote == NULL)
        return TRUE; /* UTF-8 then */
    for (gsize i = 0; i < G_N_ELEMENTS(encodings); i++)
        if (g_ascii_strncasecmp(quote + 1, encodings[i], strlen(encodings[i])) == 0 &&
            quote[1 + strlen(encodings[i])] == quote[0])
            return TRUE;
    return refuse(p, error, "its encoding is none of UTF-8, US-ASCII, ISO-8859-1 and windows-1252");
}

/* ---- elements ---- */

static void property_free(gpointer data)
{
    PdscProperty *property = data;
    for (guint i = 0; i < PDSC_ATTRIBUTES; i++)
        g_free(property->text[i]);
    g_free(property);
}

static void level_free(gpointer data)
{
    PdscLevel *level = data;
    g_free(level->name);
    g_free(level->vendor);
    g_ptr_array_unref(level->properties);
    g_free(level);
}

/* *out becomes the attribute's text, NULL where there is none; free with g_free. */
static gboolean attribute(const Parser *p, const char *name, char **out, GError **error)
{
    xmlChar *text = xmlTextReaderGetAttribute(p->reader, (const xmlChar *)name);
    *out = NULL;
    if (text == NULL)
        return TRUE;
    gboolean fits = strlen((const char *)text) <= IMP_PDSC_TEXT_MAX;
    if (fits)
        *out = g_strstrip(g_strdup((const char *)text));
    xmlFree(text);
    return fits || refuse(p, error, "the attribute '%s' is longer than %d bytes", name, IMP_PDSC_TEXT_MAX);
}

static gboolean add_property(Parser *p, PdscLevel *level, PdscKind kind, GError **error)
{
    if (++p->properties > IMP_PDSC_PROPERTIES_MAX)
        return refuse(p, error, "more than %u elements that describe devices", IMP_PDSC_PROPERTIES_MAX);
    PdscProperty *property = g_new0(PdscProperty, 1);
    property->kind = kind;
    property->line = (guint)xmlTextReaderGetParserLineNumber(p->reader);
    g_ptr_array_add(level->properties, property);
    for (guint i = 0; i < PDSC_ATTRIBUTES; i++)
        if (!attribute(p, attribute_names[i], &property->text[i], error))
            return FALSE;
    return TRUE;
}

/* "[\-_A-Za-z0-9/]+" (PACK.xsd, RestrictedStringDname), and what is found beside it. */
static gboolean is_device_name(const char *name)
{
    for (const char *c = name; *c != '\0'; c++)
        if (!g_ascii_isalnum(*c) && strchr("-_/.+#()", *c) == NULL)
            return FALSE;
    return name[0] != '\0' && strlen(name) <= IMP_PDSC_NAME_MAX;
}

static gboolean add_level(Parser *p, const PdscLevel *parent, guint depth, PdscLevel **out, GError **error)
{
    static const char *const names[] = {"Dfamily", "DsubFamily", "Dname", "Dvariant"};
    PdscLevel *level = g_new0(PdscLevel, 1);
    level->parent = parent;
    level->depth = depth;
    level->vendor = g_strdup("");
    level->properties = g_ptr_array_new_with_free_func(property_free);
    g_ptr_array_add(p->pdsc->levels, level);
    if (!attribute(p, names[depth], &level->name, error) ||
        (depth == 3 && level->name == NULL && !attribute(p, "Dname", &level->name, error)))
        return FALSE;
    if (depth == 0) {
        g_clear_pointer(&level->vendor, g_free);
        if (!attribute(p, "Dvendor", &level->vendor, error))
            return FALSE;
        if (level->vendor == NULL)
            level->vendor = g_strdup("");
        level->vendor[strcspn(level->vendor, ":")] = '\0'; /* "STMicroelectronics:13" */
    }
    if (level->name == NULL)
        level->name = g_strdup("");
    *out = level;
    if (depth < 2)
        return TRUE;
    if (!is_device_name(level->name))
        return refuse(p, error, "a device has no usable name");
    g_ptr_array_add(p->pdsc->devices, level);
    return p->pdsc->devices->len <= IMP_PDSC_DEVICES_MAX ||
           refuse(p, error, "more than %u devices", IMP_PDSC_DEVICES_MAX);
}

/* An element inside of a family, sub-family, device or variant. */
static gboolean enter_in_level(Parser *p, const char *name, guint depth, GError **error)
{
    static const struct {
        const char *name;
        PdscKind kind;
    } kinds[] = {{"processor", PDSC_PROCESSOR},      {"memory", PDSC_MEMORY},
                 {"algorithm", PDSC_ALGORITHM},      {"debug", PDSC_DEBUG},
                 {"accessportV1", PDSC_ACCESS_PORT}, {"accessportV2", PDSC_ACCESS_PORT}};
    PdscLevel *level = p->levels[depth - 1];
    guint inner = 0; /* which level the element is; 0 = none */
    if (level->depth == 0 && strcmp(name, "subFamily") == 0)
        inner = 1;
    else if (level->depth < 2 && strcmp(name, "device") == 0)
        inner = 2;
    else if (level->depth == 2 && strcmp(name, "variant") == 0)
        inner = 3;
    if (inner != 0) {
        p->places[depth] = IN_LEVEL;
        return add_level(p, level, inner, &p->levels[depth], error);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (strcmp(name, kinds[i].name) == 0)
            return add_property(p, level, kinds[i].kind, error);
    return TRUE;
}

static gboolean take_release(Parser *p, GError **error)
{
    return p->pdsc->version != NULL || attribute(p, "version", &p->pdsc->version, error);
}

/* Sets places[depth] for the element that begins. */
static gboolean enter(Parser *p, const char *name, guint depth, GError **error)
{
    p->places[depth] = IN_OTHER;
    if (depth == 0) {
        if (strcmp(name, "package") != 0)
            return refuse(p, error, "it is not the description of a pack: its root is <%.40s>", name);
        p->places[0] = IN_PACKAGE;
        return TRUE;
    }
    switch (p->places[depth - 1]) {
    case IN_PACKAGE:
        p->places[depth] = strcmp(name, "vendor") == 0     ? IN_VENDOR
                           : strcmp(name, "name") == 0     ? IN_NAME
                           : strcmp(name, "releases") == 0 ? IN_RELEASES
                           : strcmp(name, "devices") == 0  ? IN_DEVICES
                                                           : IN_OTHER;
        return TRUE;
    case IN_RELEASES:
        return strcmp(name, "release") != 0 || take_release(p, error);
    case IN_DEVICES:
        if (strcmp(name, "family") != 0)
            return TRUE;
        p->places[depth] = IN_LEVEL;
        return add_level(p, NULL, 0, &p->levels[depth], error);
    case IN_LEVEL:
        return enter_in_level(p, name, depth, error);
    case IN_OTHER:
    case IN_VENDOR:
    case IN_NAME:
        break;
    }
    return TRUE;
}

static gboolean take_text(Parser *p, guint depth, GError **error)
{
    Place place = depth > 0 ? p->places[depth - 1] : IN_OTHER;
    char **out = place == IN_VENDOR ? &p->pdsc->vendor : place == IN_NAME ? &p->pdsc->name : NULL;
    if (out == NULL || *out != NULL)
        return TRUE;
    const char *text = (const char *)xmlTextReaderConstValue(p->reader);
    if (text == NULL || strlen(text) > IMP_PDSC_TEXT_MAX)
        return refuse(p, error, "the name of pack or vendor is longer than %d bytes", IMP_PDSC_TEXT_MAX);
    *out = g_strstrip(g_strdup(text));
    return TRUE;
}

static gboolean take_node(Parser *p, GError **error)
{
    int depth = xmlTextReaderDepth(p->reader);
    if (++p->nodes > IMP_PDSC_NODES_MAX)
        return refuse(p, error, "more than %u elements", IMP_PDSC_NODES_MAX);
    if (depth < 0 || depth >= IMP_PDSC_DEPTH_MAX)
        return refuse(p, error, "elements are nested deeper than %d", IMP_PDSC_DEPTH_MAX);
    switch (xmlTextReaderNodeType(p->reader)) {
    case XML_READER_TYPE_ELEMENT:
        return enter(p, (const char *)xmlTextReaderConstLocalName(p->reader), (guint)depth, error);
    case XML_READER_TYPE_TEXT:
    case XML_READER_TYPE_CDATA:
        return take_text(p, (guint)depth, error);
    case XML_READER_TYPE_DOCUMENT_TYPE:
    case XML_READER_TYPE_ENTITY:
    case XML_READER_TYPE_ENTITY_REFERENCE:
        return refuse(p, error, "it has a document type or an entity of its own, which no description needs");
    default:
        return TRUE;
    }
}

static void on_complaint(void *user, xmlErrorPtr complaint)
{
    Parser *p = user;
    if (p->why != NULL || complaint->level < XML_ERR_ERROR)
        return;
    p->why = g_strchomp(g_utf8_make_valid(complaint->message != NULL ? complaint->message : "", -1));
    p->why_line = complaint->line;
}

/* A part of a file's name: no path, not hidden. */
static gboolean is_plain(const char *text)
{
    for (const char *c = text; text != NULL && *c != '\0'; c++)
        if (!g_ascii_isalnum(*c) && strchr("-_.+~", *c) == NULL)
            return FALSE;
    return text != NULL && g_ascii_isalnum(text[0]) && strlen(text) <= 64;
}

static gboolean check_package(const Parser *p, GError **error)
{
    const struct {
        const char *what, *text;
    } parts[] = {{"vendor", p->pdsc->vendor}, {"name", p->pdsc->name}, {"release", p->pdsc->version}};
    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++)
        if (!is_plain(parts[i].text))
            return refuse(
                p, error,
                "the pack's %s is missing, longer than 64 bytes, or not of letters, digits and '-_.+~'",
                parts[i].what);
    return p->pdsc->devices->len > 0 || refuse(p, error, "the pack describes no device");
}

static gboolean parse(Parser *p, GError **error)
{
    int status;
    while ((status = xmlTextReaderRead(p->reader)) == 1 && p->why == NULL)
        if (!take_node(p, error))
            return FALSE;
    if (p->why != NULL || status != 0) {
        imp_error_set(error, IMP_E_PACK_FILE, "%s:%d: not readable as XML: %s", p->pdsc->what, p->why_line,
                      p->why != NULL ? p->why : "unknown reason");
        return FALSE;
    }
    return check_package(p, error);
}

ImpPdsc *imp_pdsc_parse(GBytes *bytes, const char *what, GError **error)
{
    g_autoptr(ImpPdsc) pdsc = g_new0(ImpPdsc, 1);
    pdsc->what = g_strdup(what);
    pdsc->levels = g_ptr_array_new_with_free_func(level_free);
    pdsc->devices = g_ptr_array_new();
    gsize n_bytes;
    const char *text = g_bytes_get_data(bytes, &n_bytes);
    g_autofree Parser *p = g_new0(Parser, 1);
    p->pdsc = pdsc;
    if (text == NULL || n_bytes == 0) {
        refuse(p, error, "it is empty");
        return NULL;
    }
    if (!check_bytes(p, text, n_bytes, error))
        return NULL;
    xmlInitParser();
    p->reader = xmlReaderForMemory(text, (int)n_bytes, NULL, NULL,
                                   XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    g_assert(p->reader != NULL); /* out of memory, as GLib does it */
    xmlTextReaderSetStructuredErrorHandler(p->reader, on_complaint, p);
    gboolean good = parse(p, error);
    xmlFreeTextReader(p->reader);
    g_free(p->why);
    return good ? g_steal_pointer(&pdsc) : NULL;
}

void imp_pdsc_free(ImpPdsc *pdsc)
{
    if (pdsc == NULL)
        return;
    g_free(pdsc->what);
    g_free(pdsc->vendor);
    g_free(pdsc->name);
    g_free(pdsc->version);
    g_ptr_array_unref(pdsc->devices);
    g_ptr_array_unref(pdsc->levels);
    g_free(pdsc);
}

const char *imp_pdsc_vendor(const ImpPdsc *pdsc)
{
    return pdsc->vendor;
}

const char *imp_pdsc_name(const ImpPdsc *pdsc)
{
    return pdsc->name;
}

const char *imp_pdsc_version(const ImpPdsc *pdsc)
{
    return pdsc->version;
}

gsize imp_pdsc_device_count(const ImpPdsc *pdsc)
{
    return pdsc->devices->len;
}

static const PdscLevel *device_at(const ImpPdsc *pdsc, gsize index)
{
    g_assert(index < pdsc->devices->len);
    return pdsc->devices->pdata[index];
}

static const PdscLevel *family_of(const PdscLevel *level)
{
    while (level->parent != NULL)
        level = level->parent;
    return level;
}

const char *imp_pdsc_device_name(const ImpPdsc *pdsc, gsize index)
{
    return device_at(pdsc, index)->name;
}

const char *imp_pdsc_device_vendor(const ImpPdsc *pdsc, gsize index)
{
    return family_of(device_at(pdsc, index))->vendor;
}

const char *imp_pdsc_device_family(const ImpPdsc *pdsc, gsize index)
{
    return family_of(device_at(pdsc, index))->name;
}
