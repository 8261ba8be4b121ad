/* A station and its cloud: membership, the connection for sync, enrolment. */
#include "station/core.h"

#include <glib-unix.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/queue.h"
#include "station/delivery.h"
#include "station/view.h"
#include "wire/enrol.h"

#define ENROL_MS_MAX 15000
#define CERT_PEM_MAX 16384
#define SYNC_PATH    "/v1/sync"

const guint8 *imp_cloud_ca(const ImpStation *station)
{
    return station->membership != NULL ? station->membership->ca_sha256 : NULL;
}

json_t *imp_station_cloud(ImpStation *station)
{
    if (station->cloud == NULL)
        return imp_view_cloud(&(ImpViewCloud){0});
    g_autofree char *ca = imp_hex_encode(station->membership->ca_sha256, IMP_CA_SHA256_BYTES);
    return imp_view_cloud(&(ImpViewCloud){
        .view = imp_authority_cloud_view(station->cloud),
        .url = station->membership->url,
        .station = station->membership->station,
        .ca = ca,
    });
}

/* ---- sync ---------------------------------------------------------------------------------------------------------- */

static gboolean on_step(gpointer user);

/* Calls step again in delay_us. */
static void schedule(ImpStation *station, gint64 delay_us)
{
    if (station->step_source != 0)
        g_source_remove(station->step_source);
    guint delay_ms = (guint)CLAMP((delay_us + 999) / 1000, 0, 3600 * 1000);
    station->step_source = g_timeout_add(delay_ms, on_step, station);
}

static gboolean on_step(gpointer user)
{
    ImpStation *station = user;
    station->step_source = 0;
    gint64 next = imp_authority_cloud_step(station->cloud);
    schedule(station, next == G_MAXINT64 ? G_TIME_SPAN_HOUR : next - imp_clock_boot_us(station->clock));
    return G_SOURCE_REMOVE;
}

static void on_wake(gpointer user)
{
    schedule(user, 0);
}

static void on_changed(gpointer user)
{
    ImpStation *station = user;
    const ImpCloudView *view = imp_authority_cloud_view(station->cloud);
    imp_events_add(station->events, "cloud", "cloud", imp_station_cloud(station));
    if (view->state == IMP_CLOUD_BLOCKED || view->state == IMP_CLOUD_STALE)
        g_warning("cloud: %s", view->error != NULL ? view->error->message : "");
    else if (view->unreachable)
        g_message("cloud: %s", view->error != NULL ? view->error->message : "unreachable");
}

static void on_point(gpointer user, const char *name)
{
    imp_station_point(user, name);
}

static void on_sync_outcome(gpointer user, guint64 ticket, const ImpHttpAnswer *answer, const GError *error)
{
    ImpStation *station = user;
    g_autoptr(GError) refused = NULL;
    if (answer != NULL && !imp_http_answer_check(answer, &refused))
        error = refused;
    imp_authority_cloud_answer(station->cloud, ticket, error == NULL ? answer->body : NULL, error);
}

static void send_sync(gpointer self, guint64 ticket, GBytes *request)
{
    ImpStation *station = self;
    ImpHttpCall call = {
        .method = "POST",
        .path = SYNC_PATH,
        .content_type = "application/json",
        .body = request,
        .ms_max = IMP_CLOUD_REQUEST_US / 1000,
    };
    /* If the thread is still at the request that was given up, this one is given up, too, in its time. */
    if (!imp_link_call(station->sync_link, ticket, &call))
        g_debug("sync: the connection is busy");
}

static gboolean start_cloud(ImpStation *station, GError **error)
{
    g_autofree char *key_pem = NULL;
    g_autoptr(GError) own = NULL;
    if (!g_file_get_contents(imp_vault_tls_key_path(station->vault), &key_pem, NULL, &own)) {
        imp_error_set(error, IMP_E_IO, "%s", own->message);
        return FALSE;
    }
    ImpKeyId root;
    memcpy(root.bytes, station->membership->root_sha256, sizeof root.bytes);
    imp_vault_use_root(station->vault, station->membership->has_root ? &root : NULL);
    ImpHttpClientOptions options = {
        .url = station->membership->url,
        .ca_pem = station->membership->ca_pem,
        .cert_pem = station->membership->cert_pem,
        .key_pem = key_pem,
        .connect_ms_max = IMP_CLOUD_REQUEST_US / 1000,
        .answer_bytes_max = IMP_WIRE_MESSAGE_MAX,
    };
    station->sync_link = imp_link_new(&options, on_sync_outcome, station, error);
    if (station->sync_link == NULL)
        goto out;
    station->cloud = imp_authority_cloud_new(&(ImpAuthorityCloudOptions){
        .ledger = station->ledger,
        .life = station->life,
        .clock = station->clock,
        .transport = {send_sync, station},
        .wake = on_wake,
        .changed = on_changed,
        .point = station->kill_at != NULL ? on_point : NULL,
        .user = station,
    });
    station->delivery = imp_delivery_new(station, &options, error);
    on_wake(station);
out:
    explicit_bzero(key_pem, strlen(key_pem));
    return station->delivery != NULL;
}

gboolean imp_cloud_init(ImpStation *station, GError **error)
{
    g_autofree char *folder = g_build_filename(station->config->data, "cloud", NULL);
    GError *own = NULL;
    station->membership = imp_membership_load(folder, &own);
    if (own != NULL) {
        g_propagate_error(error, own);
        return FALSE;
    }
    return station->membership == NULL || start_cloud(station, error);
}

gboolean imp_station_has_cloud(const ImpStation *station)
{
    return station->delivery != NULL;
}

void imp_station_ask_cloud(ImpStation *station)
{
    imp_delivery_ask(station->delivery);
}

/* ---- enrolment ----------------------------------------------------------------------------------------------------- */

/* One blocking conversation with a cloud that is not ours yet, on a thread of its own. */
struct Enrolment {
    ImpStation *station;
    void (*done)(gpointer user, const GError *error);
    gpointer user;
    pthread_t thread;
    guint source;
    ImpQueue *ended; /* of the thread: one item, this struct */
    /* what the thread reads */
    ImpEnrolCode code;
    char *url, *csr, *sealing_pem, *name;
    /* what it leaves */
    ImpMembership *membership;
    GError *error;
};

static void enrolment_free(Enrolment *enrolment)
{
    explicit_bzero(&enrolment->code, sizeof enrolment->code);
    imp_membership_free(enrolment->membership);
    imp_queue_free(enrolment->ended);
    g_clear_error(&enrolment->error);
    g_free(enrolment->url);
    g_free(enrolment->csr);
    g_free(enrolment->sealing_pem);
    g_free(enrolment->name);
    g_free(enrolment);
}

static char *bio_text(BIO *bio)
{
    char *bytes = NULL;
    long n_bytes = BIO_get_mem_data(bio, &bytes);
    return g_strndup(bytes, (gsize)MAX(n_bytes, 0));
}

/* A PKCS#10 request (RFC 2986) for the TLS key; the cloud gives the certificate its subject. */
static char *make_csr(const char *key_path, GError **error)
{
    char *pem = NULL;
    FILE *file = fopen(key_path, "re");
    EVP_PKEY *key = file != NULL ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;
    X509_REQ *request = X509_REQ_new();
    BIO *bio = BIO_new(BIO_s_mem());
    if (key != NULL && request != NULL && bio != NULL && X509_REQ_set_version(request, 0) == 1 &&
        X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_ASC,
                                   (const guint8 *)"imprint-station", -1, -1, 0) == 1 &&
        X509_REQ_set_pubkey(request, key) == 1 && X509_REQ_sign(request, key, EVP_sha256()) > 0 &&
        PEM_write_bio_X509_REQ(bio, request) == 1)
        pem = bio_text(bio);
    else
        imp_error_set(error, IMP_E_CRYPTO, "no certificate request could be made with %s", key_path);
    BIO_free(bio);
    X509_REQ_free(request);
    EVP_PKEY_free(key);
    if (file != NULL)
        fclose(file);
    return pem;
}

/* Answers may grow: members that are not known are passed over. */
static char *text_of(const json_t *answer, const char *name, GError **error)
{
    const char *text = json_string_value(json_object_get(answer, name));
    if (text == NULL || strlen(text) > CERT_PEM_MAX) {
        imp_error_set(error, IMP_E_HTTP_ANSWER, "the cloud's answer to the enrolment has no \"%s\"", name);
        return NULL;
    }
    return g_strdup(text);
}

static ImpMembership *read_answer(const json_t *answer, const Enrolment *enrolment, GError **error)
{
    g_autoptr(ImpMembership) membership = g_new0(ImpMembership, 1);
    g_autofree char *station = text_of(answer, "station", error);
    ImpId id;
    if (station == NULL || (membership->cert_pem = text_of(answer, "certificate", error)) == NULL ||
        (membership->ca_pem = text_of(answer, "ca", error)) == NULL)
        return NULL;
    guint8 digest[IMP_HTTP_KEY_DIGEST_BYTES];
    if (!imp_id_parse(station, &id)) {
        imp_error_set(error, IMP_E_HTTP_ANSWER, "the cloud gave this station no proper ID");
        return NULL;
    }
    if (!imp_http_key_digest(membership->ca_pem, digest, error))
        return NULL;
    if (memcmp(digest, enrolment->code.ca_sha256, sizeof digest) != 0) {
        imp_error_set(error, IMP_E_HTTP_TLS, "the cloud's CA is not the one that the enrolment code names");
        return NULL;
    }
    membership->has_root = enrolment->code.has_root;
    memcpy(membership->root_sha256, enrolment->code.root_sha256, sizeof membership->root_sha256);
    imp_id_text(&id, membership->station);
    membership->url = g_strdup(enrolment->url);
    return g_steal_pointer(&membership);
}

/* On the enrolment's thread: first the CA by its digest, then, to whom that CA vouches for, the secret. */
static ImpMembership *talk(const Enrolment *enrolment, GError **error)
{
    g_autofree char *ca_pem = imp_http_fetch_ca(enrolment->url, enrolment->code.ca_sha256, error);
    if (ca_pem == NULL)
        return NULL;
    g_autoptr(ImpHttpClient) client = imp_http_client_new(
        &(ImpHttpClientOptions){.url = enrolment->url, .ca_pem = ca_pem, .call_ms_max = ENROL_MS_MAX}, error);
    if (client == NULL)
        return NULL;
    g_autofree char *secret = imp_hex_encode(enrolment->code.secret, IMP_ENROL_SECRET_BYTES);
    json_t *request = json_object();
    json_object_set_new(request, "secret", json_string(secret));
    json_object_set_new(request, "csr", json_string(enrolment->csr));
    json_object_set_new(request, "sealing_key", json_string(enrolment->sealing_pem));
    json_object_set_new(request, "name", json_string(enrolment->name));
    json_t *answer = imp_http_call_json(client, "POST", "/v1/enrol", request, error);
    json_decref(request);
    explicit_bzero(secret, strlen(secret));
    ImpMembership *membership = answer != NULL ? read_answer(answer, enrolment, error) : NULL;
    json_decref(answer);
    return membership;
}

static void *run_enrolment(void *data)
{
    Enrolment *enrolment = data;
    enrolment->membership = talk(enrolment, &enrolment->error);
    gboolean pushed = imp_queue_push(enrolment->ended, enrolment);
    g_assert(pushed);
    return NULL;
}

static gboolean on_enrolled(gint fd, GIOCondition condition, gpointer user)
{
    Enrolment *enrolment = user;
    ImpStation *station = enrolment->station;
    if (imp_queue_try_pop(enrolment->ended) == NULL)
        return G_SOURCE_CONTINUE;
    pthread_join(enrolment->thread, NULL);
    station->enrolment = NULL;
    g_autofree char *folder = g_build_filename(station->config->data, "cloud", NULL);
    if (enrolment->membership != NULL &&
        imp_membership_save(enrolment->membership, folder, &enrolment->error)) {
        station->membership = g_steal_pointer(&enrolment->membership);
        if (start_cloud(station, &enrolment->error))
            imp_events_add(station->events, "cloud", "cloud", imp_station_cloud(station));
    }
    enrolment->done(enrolment->user, enrolment->error);
    enrolment_free(enrolment);
    imp_station_check_stopped(station);
    return G_SOURCE_REMOVE;
}

void imp_station_enrol(ImpStation *station, const char *code, const char *url, const char *name,
                       void (*done)(gpointer user, const GError *error), gpointer user)
{
    g_autoptr(GError) error = NULL;
    Enrolment *enrolment = g_new0(Enrolment, 1);
    enrolment->station = station;
    enrolment->done = done;
    enrolment->user = user;
    enrolment->ended = imp_queue_new(1, NULL);
    if (station->membership != NULL || station->enrolment != NULL)
        imp_error_set(&error, IMP_E_ALREADY_ENROLLED, "this station belongs to a cloud already%s%s",
                      station->membership != NULL ? ": " : "",
                      station->membership != NULL ? station->membership->url : "");
    else if (imp_enrol_code_decode(code, &enrolment->code, &error))
        enrolment->csr = make_csr(imp_vault_tls_key_path(station->vault), &error);
    if (error != NULL) {
        done(user, error);
        enrolment_free(enrolment);
        return;
    }
    enrolment->url = g_strdup(url != NULL ? url : enrolment->code.url);
    enrolment->name = g_strdup(name != NULL ? name : station->config->name);
    enrolment->sealing_pem = imp_key_public_pem(imp_vault_sealing_key(station->vault));
    enrolment->source = g_unix_fd_add(imp_queue_fd(enrolment->ended), G_IO_IN, on_enrolled, enrolment);
    station->enrolment = enrolment;
    int failure = pthread_create(&enrolment->thread, NULL, run_enrolment, enrolment);
    if (failure != 0)
        g_error("pthread_create: %s", g_strerror(failure));
}

void imp_cloud_done(ImpStation *station)
{
    g_assert(station->enrolment == NULL); /* a stop waits for it */
    imp_delivery_free(station->delivery);
    imp_link_free(station->sync_link);
    if (station->step_source != 0)
        g_source_remove(station->step_source);
    imp_authority_cloud_free(station->cloud);
    imp_membership_free(station->membership);
}
