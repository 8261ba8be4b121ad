#include "image/der.h"

#include <string.h>

typedef struct {
    const guint8 *at;
    const guint8 *end[IMP_DER_DEPTH_MAX]; /* of the open elements; [0] is the end of the bytes */
    guint depth;
} Cursor;

/* X.690, 8.1.3 and 10.1: a definite length in the fewest bytes. The element's content, or FALSE. */
static gboolean read_element(const Cursor *cursor, guint8 tag, const guint8 **out_content, gsize *out_bytes)
{
    const guint8 *at = cursor->at;
    gsize left = (gsize)(cursor->end[cursor->depth] - at);
    if (left < 2 || at[0] != tag)
        return FALSE;
    gsize n_bytes = at[1];
    gsize n_head = 2;
    if (n_bytes >= 0x80) {
        gsize n_length = n_bytes & 0x7f;
        if (n_length < 1 || n_length > 4 || left < 2 + n_length || at[2] == 0)
            return FALSE;
        n_bytes = 0;
        for (gsize i = 0; i < n_length; i++)
            n_bytes = n_bytes << 8 | at[2 + i];
        if (n_bytes < 0x80)
            return FALSE;
        n_head += n_length;
    }
    if (n_bytes > left - n_head)
        return FALSE;
    *out_content = at + n_head;
    *out_bytes = n_bytes;
    return TRUE;
}

static gboolean match_item(const ImpDerItem *item, Cursor *cursor, ImpDerField *fields)
{
    const guint8 *content;
    gsize n_bytes;
    switch (item->kind) {
    case IMP_DER_OPEN:
        if (!read_element(cursor, item->tag, &content, &n_bytes))
            return FALSE;
        g_assert(cursor->depth + 1 < IMP_DER_DEPTH_MAX);
        cursor->at = content;
        cursor->end[++cursor->depth] = content + n_bytes;
        return TRUE;
    case IMP_DER_CLOSE:
        return cursor->at == cursor->end[cursor->depth--];
    case IMP_DER_EXACT:
        if ((gsize)(cursor->end[cursor->depth] - cursor->at) < item->n_exact ||
            memcmp(cursor->at, item->exact, item->n_exact) != 0)
            return FALSE;
        cursor->at += item->n_exact;
        return TRUE;
    case IMP_DER_FIELD:
        if (!read_element(cursor, item->tag, &content, &n_bytes) || n_bytes < item->min_bytes ||
            n_bytes > item->max_bytes)
            return FALSE;
        g_assert(item->field < IMP_DER_FIELDS_MAX);
        fields[item->field] = (ImpDerField){content, n_bytes};
        cursor->at = content + n_bytes;
        return TRUE;
    }
    g_assert_not_reached();
}

gboolean imp_der_match(const ImpDerItem *template, gsize n_items, const guint8 *der, gsize n_der,
                       ImpDerField out_fields[IMP_DER_FIELDS_MAX], GError **error)
{
    ImpDerField fields[IMP_DER_FIELDS_MAX] = {{0}};
    Cursor cursor = {.at = der, .end = {der + n_der}};
    for (gsize i = 0; i < n_items; i++)
        if (!match_item(&template[i], &cursor, fields)) {
            imp_error_set(error, template[i].code != 0 ? template[i].code : IMP_E_ENVELOPE_SHAPE,
                          "envelope: at byte %" G_GSIZE_FORMAT ": %s", (gsize)(cursor.at - der),
                          template[i].what != NULL ? template[i].what : "not of the form of its suite");
            return FALSE;
        }
    g_assert(cursor.depth == 0);
    if (cursor.at != der + n_der) {
        imp_error_set(error, IMP_E_ENVELOPE_TRAILING, "envelope: %" G_GSIZE_FORMAT " bytes follow its end",
                      (gsize)(der + n_der - cursor.at));
        return FALSE;
    }
    memcpy(out_fields, fields, sizeof fields);
    return TRUE;
}

/* --- the other way: from the end to the beginning, so that each length is known when it is written ------------------- */

typedef struct {
    guint8 *start, *at;
} Room;

static void put_before(Room *room, const void *bytes, gsize n_bytes)
{
    g_assert((gsize)(room->at - room->start) >= n_bytes);
    room->at -= n_bytes;
    memcpy(room->at, bytes, n_bytes);
}

/* Tag and length in the fewest bytes. */
static void put_head_before(Room *room, guint8 tag, gsize n_bytes)
{
    guint8 head[6] = {tag};
    gsize n_head = 2;
    head[1] = (guint8)n_bytes;
    if (n_bytes >= 0x80) {
        guint n_length = n_bytes > 0xffffff ? 4 : n_bytes > 0xffff ? 3 : n_bytes > 0xff ? 2 : 1;
        head[1] = (guint8)(0x80 | n_length);
        for (guint i = 0; i < n_length; i++)
            head[n_head++] = (guint8)(n_bytes >> (8 * (n_length - 1 - i)));
    }
    put_before(room, head, n_head);
}

gsize imp_der_build(const ImpDerItem *template, gsize n_items, const ImpDerField *fields, guint8 *room,
                    gsize n_room)
{
    Room to = {room, room + n_room};
    const guint8 *end[IMP_DER_DEPTH_MAX];
    guint depth = 0;
    for (gsize i = n_items; i-- > 0;) {
        const ImpDerItem *item = &template[i];
        switch (item->kind) {
        case IMP_DER_CLOSE:
            g_assert(depth < IMP_DER_DEPTH_MAX);
            end[depth++] = to.at;
            break;
        case IMP_DER_OPEN:
            depth--;
            put_head_before(&to, item->tag, (gsize)(end[depth] - to.at));
            break;
        case IMP_DER_EXACT:
            put_before(&to, item->exact, item->n_exact);
            break;
        case IMP_DER_FIELD: {
            ImpDerField field = fields[item->field];
            g_assert(field.n_bytes >= item->min_bytes && field.n_bytes <= item->max_bytes);
            put_before(&to, field.bytes, field.n_bytes);
            put_head_before(&to, item->tag, field.n_bytes);
            break;
        }
        }
    }
    g_assert(depth == 0);
    return (gsize)(room + n_room - to.at);
}
