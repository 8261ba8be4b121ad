#include "station/delivery.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "image/share.h"
#include "station/core.h"

#define LIST_PATH      "/v1/station/images"
#define TRUST_PATH     "/v1/station/trust"
#define LIST_MS_MAX    15000
#define CONTENT_MS_MAX (10 * 60 * 1000)
#define LIST_BYTES_MAX (1024 * 1024)

/* What the list says of one image. */
typedef struct {
    ImpId id;
    guint64 file_bytes;
    guint8 file_sha256[IMP_SHA256_BYTES];
    gboolean disabled;
} Offer;

struct ImpDelivery {
    ImpStation *station;
    ImpLink *link;
    guint timer;
    guint64 ticket;
    guint64
        asked_trust; /* the call at work is for the account's list of authors with this number; 0 = for something else */
    guint64 bad_trust; /* number of a list that was refused once: not fetched again in this life */
    GArray *wanted; /* Offer: to be downloaded, in the order of the list */
    /* the download at work; fd -1: the list is being asked for, or nothing */
    int fd;
    gboolean resumed;
    Offer offer;
    char *part;
    GHashTable *bad; /* ID text + file digest: refused once, not fetched again in this life */
};

static gboolean ask(gpointer user);

static void ask_later(ImpDelivery *delivery)
{
    if (delivery->timer == 0)
        delivery->timer =
            g_timeout_add((guint)(delivery->station->config->cloud_poll_us / 1000), ask, delivery);
}

/* ---- the list ------------------------------------------------------------------------------------------------------ */

/* Answers may grow: members that are not known are passed over. */
static gboolean read_offer(const json_t *item, Offer *offer)
{
    const char *id = json_string_value(json_object_get(item, "image"));
    const char *state = json_string_value(json_object_get(item, "state"));
    const char *digest = json_string_value(json_object_get(item, "file_sha256"));
    const json_t *bytes = json_object_get(item, "file_bytes");
    if (id == NULL || state == NULL || digest == NULL || !json_is_integer(bytes) ||
        !imp_id_parse(id, &offer->id) || json_integer_value(bytes) <= 0 ||
        json_integer_value(bytes) > IMP_IMAGE_FILE_MAX ||
        imp_hex_decode(digest, offer->file_sha256, IMP_SHA256_BYTES) != IMP_SHA256_BYTES)
        return FALSE;
    offer->file_bytes = (guint64)json_integer_value(bytes);
    offer->disabled = strcmp(state, "disabled") == 0;
    return TRUE;
}

static json_t *read_document(GBytes *body, GError **error)
{
    gsize n_bytes = 0;
    const char *text = g_bytes_get_data(body, &n_bytes);
    return imp_json_parse(text, n_bytes, LIST_BYTES_MAX, "the cloud's answer", IMP_E_HTTP_ANSWER, error);
}

static GArray *read_list(const json_t *document, GError **error)
{
    g_autoptr(GArray) offers = g_array_new(FALSE, TRUE, sizeof(Offer));
    const json_t *list = json_object_get(document, "images");
    gboolean ok = json_is_array(list) && json_array_size(list) <= IMP_DELIVERY_LIST_MAX;
    for (gsize i = 0; ok && i < json_array_size(list); i++) {
        Offer offer = {0};
        ok = read_offer(json_array_get(list, i), &offer);
        g_array_append_val(offers, offer);
    }
    if (!ok) {
        imp_error_set(error, IMP_E_HTTP_ANSWER, "the cloud's list of images is not of the form it must have");
        return NULL;
    }
    return g_steal_pointer(&offers);
}

/* The shares of images that may run now, and no others: what the cloud withholds does not open any more. */
static void take_shares(ImpDelivery *delivery, const json_t *document)
{
    const json_t *list = json_object_get(document, "shares");
    gsize n_max = MIN(json_array_size(list), IMP_DELIVERY_LIST_MAX), n = 0;
    guint8 *shares = g_malloc0(n_max * IMP_SHARE_BYTES + 1);
    for (gsize i = 0; i < n_max; i++) {
        const char *text = json_string_value(json_object_get(json_array_get(list, i), "share"));
        if (text != NULL &&
            imp_hex_decode(text, shares + n * IMP_SHARE_BYTES, IMP_SHARE_BYTES) == IMP_SHARE_BYTES)
            n++;
    }
    gboolean different = imp_vault_set_shares(imp_station_vault(delivery->station), shares, n);
    explicit_bzero(shares, n * IMP_SHARE_BYTES);
    g_free(shares);
    if (different)
        imp_station_keys_changed(delivery->station);
}

/* TRUE if the cloud carries a newer list of authors than the one that is here, and it is being fetched now. */
static gboolean fetch_trust(ImpDelivery *delivery, const json_t *document)
{
    const json_t *number = json_object_get(document, "trust");
    guint64 there = json_is_integer(number) ? (guint64)json_integer_value(number) : 0;
    ImpVault *vault = imp_station_vault(delivery->station);
    if (there <= imp_vault_list_number(vault) || there == delivery->bad_trust ||
        !delivery->station->membership->has_root)
        return FALSE;
    ImpHttpCall call = {.method = "GET", .path = TRUST_PATH, .ms_max = LIST_MS_MAX};
    delivery->asked_trust = imp_link_call(delivery->link, ++delivery->ticket, &call) ? there : 0;
    return delivery->asked_trust != 0;
}

static void take_trust(ImpDelivery *delivery, GBytes *body)
{
    g_autoptr(GError) error = NULL;
    json_t *document = read_document(body, &error);
    const char *hex = json_string_value(json_object_get(document, "list"));
    gsize n_max = hex != NULL ? strlen(hex) / 2 : 0;
    guint8 *bytes = g_malloc(n_max + 1);
    gssize n_bytes = hex != NULL ? imp_hex_decode(hex, bytes, n_max) : 0;
    json_decref(document);
    g_autoptr(GBytes) list = g_bytes_new_take(bytes, n_bytes > 0 ? (gsize)n_bytes : 0);
    if (error == NULL && imp_vault_take_list(imp_station_vault(delivery->station), list, &error)) {
        g_message("the account's list of authors, number %" G_GUINT64_FORMAT ", is in force",
                  imp_vault_list_number(imp_station_vault(delivery->station)));
        imp_station_keys_changed(delivery->station);
        return;
    }
    if (!g_error_matches(error, IMP_ERROR, IMP_E_IO)) /* a full disk is our own trouble, and passes */
        delivery->bad_trust = delivery->asked_trust;
    g_warning("list of authors from the cloud: %s", error->message);
}

static const Offer *find_offer(const GArray *offers, const ImpId *id)
{
    for (guint i = 0; i < offers->len; i++)
        if (imp_id_equal(&g_array_index(offers, Offer, i).id, id))
            return &g_array_index(offers, Offer, i);
    return NULL;
}

/* Images of the cloud that it does not offer any more go; those that are offered (again) may run. */
static void withdraw_missing(ImpDelivery *delivery, const GArray *offers)
{
    ImpStore *store = imp_station_store(delivery->station);
    for (guint i = imp_store_size(store); i > 0; i--) {
        const ImpStoreEntry *entry = imp_store_at(store, i - 1);
        if (entry->source != IMP_SOURCE_CLOUD)
            continue;
        ImpId id = entry->clear->id;
        const Offer *offer = find_offer(offers, &id);
        if (offer == NULL || offer->disabled) {
            if (!entry->withdrawn)
                imp_station_withdraw(delivery->station, &id);
        } else if (entry->withdrawn) {
            imp_store_restore(store, &id);
        }
    }
}

static char *bad_key(const Offer *offer)
{
    char text[IMP_ID_TEXT_SIZE];
    g_autofree char *digest = imp_hex_encode(offer->file_sha256, IMP_SHA256_BYTES);
    return g_strconcat(imp_id_text(&offer->id, text), digest, NULL);
}

static void choose_wanted(ImpDelivery *delivery, const GArray *offers)
{
    g_array_set_size(delivery->wanted, 0);
    for (guint i = 0; i < offers->len; i++) {
        const Offer *offer = &g_array_index(offers, Offer, i);
        g_autofree char *key = bad_key(offer);
        if (!offer->disabled && imp_store_find(imp_station_store(delivery->station), &offer->id) == NULL &&
            !g_hash_table_contains(delivery->bad, key))
            g_array_append_val(delivery->wanted, *offer);
    }
}

/* ---- downloads ----------------------------------------------------------------------------------------------------- */

static void close_part(ImpDelivery *delivery, gboolean remove)
{
    if (delivery->fd >= 0)
        close(delivery->fd);
    delivery->fd = -1;
    if (remove && delivery->part != NULL && unlink(delivery->part) != 0 && errno != ENOENT)
        g_warning("%s: %s", delivery->part, g_strerror(errno));
    g_clear_pointer(&delivery->part, g_free);
}

/* Opens ID.part at its end: what is there already is not fetched again. */
static gboolean open_part(ImpDelivery *delivery, guint64 *out_have, GError **error)
{
    char text[IMP_ID_TEXT_SIZE];
    delivery->part = g_strdup_printf("%s/images/cloud/%s.part", delivery->station->config->data,
                                     imp_id_text(&delivery->offer.id, text));
    delivery->fd = open(delivery->part, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    off_t have = delivery->fd >= 0 ? lseek(delivery->fd, 0, SEEK_END) : -1;
    if (have >= 0 && (guint64)have >= delivery->offer.file_bytes &&
        (ftruncate(delivery->fd, 0) != 0 || lseek(delivery->fd, 0, SEEK_SET) != 0))
        have = -1;
    else if (have >= 0 && (guint64)have >= delivery->offer.file_bytes)
        have = 0;
    if (have < 0) {
        imp_error_set(error, IMP_E_IO, "%s: %s", delivery->part, g_strerror(errno));
        return FALSE;
    }
    *out_have = (guint64)have;
    return TRUE;
}

static void download_next(ImpDelivery *delivery)
{
    g_autoptr(GError) error = NULL;
    guint64 have = 0;
    if (delivery->wanted->len == 0) {
        ask_later(delivery);
        return;
    }
    delivery->offer = g_array_index(delivery->wanted, Offer, 0);
    g_array_remove_index(delivery->wanted, 0);
    if (!open_part(delivery, &have, &error)) {
        g_warning("delivery: %s", error->message);
        close_part(delivery, FALSE);
        ask_later(delivery);
        return;
    }
    delivery->resumed = have > 0;
    char text[IMP_ID_TEXT_SIZE];
    g_autofree char *path = g_strdup_printf(LIST_PATH "/%s/content", imp_id_text(&delivery->offer.id, text));
    ImpHttpCall call = {
        .method = "GET",
        .path = path,
        .answer_fd = delivery->fd,
        .has_answer_fd = TRUE,
        .answer_fd_bytes_max = delivery->offer.file_bytes - have,
        .range_from = have,
        .ms_max = CONTENT_MS_MAX,
    };
    if (imp_link_call(delivery->link, ++delivery->ticket, &call))
        return;
    close_part(delivery, FALSE);
    ask_later(delivery);
}

static gboolean keep_download(ImpDelivery *delivery, const ImpHttpAnswer *answer, GError **error)
{
    if (!imp_http_answer_check(answer, error))
        return FALSE;
    struct stat st;
    if (fstat(delivery->fd, &st) != 0) {
        imp_error_set(error, IMP_E_IO, "%s: %s", delivery->part, g_strerror(errno));
        return FALSE;
    }
    if ((guint64)st.st_size < delivery->offer.file_bytes) {
        imp_error_set(error, IMP_E_TIMEOUT, "the transfer of an image was cut off");
        return FALSE;
    }
    const ImpStoreEntry *entry = NULL;
    gboolean is_new = FALSE;
    if (!imp_station_load(delivery->station, delivery->fd, IMP_SOURCE_CLOUD, &entry, &is_new, error))
        return FALSE;
    char text[IMP_ID_TEXT_SIZE];
    if (!imp_id_equal(&entry->clear->id, &delivery->offer.id)) {
        ImpId id = entry->clear->id;
        imp_error_set(error, IMP_E_STORE_DIFFERS, "the cloud delivered image %s in its place",
                      imp_id_text(&id, text));
        if (is_new)
            imp_station_withdraw(delivery->station, &id);
        return FALSE;
    }
    g_message("image %s (%s) came from the cloud", entry->clear->name, imp_id_text(&entry->clear->id, text));
    return TRUE;
}

/* An image that was refused would be refused again: remembered, so that it is not fetched every few seconds. */
static void refused(ImpDelivery *delivery, const GError *error)
{
    char text[IMP_ID_TEXT_SIZE];
    const ImpErrorEntry *entry = imp_error_entry(imp_error_code(error));
    gboolean final = entry != NULL && entry->disposition == IMP_DISPOSITION_REFUSE &&
                     !g_error_matches(error, IMP_ERROR, IMP_E_STORE_FULL);
    g_warning("image %s from the cloud: %s", imp_id_text(&delivery->offer.id, text), error->message);
    /* After a resumed transfer the beginning may have been another file's: once more from the start. */
    if (final && !delivery->resumed)
        g_hash_table_add(delivery->bad, bad_key(&delivery->offer));
    close_part(delivery, final);
}

static void on_outcome(gpointer user, guint64 ticket, const ImpHttpAnswer *answer, const GError *error)
{
    ImpDelivery *delivery = user;
    g_autoptr(GError) own = error != NULL ? g_error_copy(error) : NULL;
    if (delivery->fd >= 0) { /* a download */
        if (own == NULL && keep_download(delivery, answer, &own))
            close_part(delivery, TRUE);
        else
            refused(delivery, own);
        if (own != NULL)
            ask_later(delivery);
        else
            download_next(delivery);
        return;
    }
    if (own == NULL && imp_http_answer_check(answer, &own) && delivery->asked_trust != 0)
        take_trust(delivery, answer->body);
    if (delivery->asked_trust != 0) {
        if (own != NULL) /* asked for again with the next list of images */
            g_warning("list of authors from the cloud: %s", own->message);
        delivery->asked_trust = 0;
        download_next(delivery);
        return;
    }
    json_t *document = own == NULL ? read_document(answer->body, &own) : NULL;
    g_autoptr(GArray) offers = document != NULL ? read_list(document, &own) : NULL;
    if (offers == NULL) {
        g_debug("delivery: %s", own->message); /* sync says aloud that the cloud is away */
        ask_later(delivery);
    } else {
        take_shares(delivery, document);
        withdraw_missing(delivery, offers);
        choose_wanted(delivery, offers);
        if (!fetch_trust(delivery, document))
            download_next(delivery);
    }
    json_decref(document);
}

static gboolean ask(gpointer user)
{
    ImpDelivery *delivery = user;
    delivery->timer = 0;
    ImpHttpCall call = {.method = "GET", .path = LIST_PATH, .ms_max = LIST_MS_MAX};
    if (!imp_link_call(delivery->link, ++delivery->ticket, &call))
        ask_later(delivery);
    return G_SOURCE_REMOVE;
}

void imp_delivery_ask(ImpDelivery *delivery)
{
    if (delivery->timer == 0)
        return; /* at work: the list was asked for already, or is after the download */
    g_source_remove(delivery->timer);
    ask(delivery);
}

ImpDelivery *imp_delivery_new(ImpStation *station, const ImpHttpClientOptions *options, GError **error)
{
    ImpDelivery *delivery = g_new0(ImpDelivery, 1);
    delivery->station = station;
    delivery->fd = -1;
    delivery->wanted = g_array_new(FALSE, TRUE, sizeof(Offer));
    delivery->bad = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    delivery->link = imp_link_new(options, on_outcome, delivery, error);
    if (delivery->link == NULL) {
        imp_delivery_free(delivery);
        return NULL;
    }
    ask(delivery);
    return delivery;
}

void imp_delivery_free(ImpDelivery *delivery)
{
    if (delivery == NULL)
        return;
    imp_link_free(delivery->link); /* first: its thread writes into fd */
    if (delivery->timer != 0)
        g_source_remove(delivery->timer);
    close_part(delivery, FALSE);
    g_array_unref(delivery->wanted);
    g_hash_table_unref(delivery->bad);
    g_free(delivery);
}
