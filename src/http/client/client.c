#include "http/client/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"

#define CONNECT_MS       5000
#define CALL_MS          15000
#define ANSWER_BYTES_MAX (4 * 1024 * 1024)
#define CA_BYTES_MAX     (64 * 1024)
#define POLL_MS          1000

struct ImpHttpClient {
    char *url, *unix_path, *ca_pem, *cert_pem, *key_pem, *token;
    guint32 connect_ms_max, call_ms_max;
    gsize answer_bytes_max;
    gboolean unverified; /* imp_http_fetch_ca only */
    CURLM *multi; /* keeps the connections */
    atomic_bool cancelled;
};

/* One call on its way. */
typedef struct {
    ImpHttpClient *client;
    const ImpHttpCall *call;
    CURL *easy;
    GByteArray *body;
    char *content_type, *etag;
    guint64 received_bytes, sent_bytes;
    gboolean is_stream; /* the answer goes to answer_fd; known at the first byte */
    GError *error; /* found in a callback */
    char text[CURL_ERROR_SIZE];
} Transfer;

void imp_http_client_init(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        g_error("libcurl cannot be initialised");
}

void imp_http_answer_free(ImpHttpAnswer *answer)
{
    if (answer == NULL)
        return;
    g_free(answer->content_type);
    g_free(answer->etag);
    if (answer->body != NULL)
        g_bytes_unref(answer->body);
    g_free(answer);
}

/* "https://host[:port]", nothing behind. */
static gboolean check_url(const char *url, GError **error)
{
    g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_NONE, NULL);
    if (uri != NULL && strcmp(g_uri_get_scheme(uri), "https") == 0 && g_uri_get_host(uri) != NULL &&
        g_uri_get_host(uri)[0] != '\0' && g_uri_get_userinfo(uri) == NULL && g_uri_get_path(uri)[0] == '\0' &&
        g_uri_get_query(uri) == NULL && g_uri_get_fragment(uri) == NULL)
        return TRUE;
    imp_error_set(error, IMP_E_HTTP_URL, "'%s' is not of the form https://host:port", url);
    return FALSE;
}

ImpHttpClient *imp_http_client_new(const ImpHttpClientOptions *options, GError **error)
{
    g_assert((options->url != NULL) != (options->unix_path != NULL));
    g_assert((options->cert_pem != NULL) == (options->key_pem != NULL));
    if (options->url != NULL && !check_url(options->url, error))
        return NULL;
    ImpHttpClient *client = g_new0(ImpHttpClient, 1);
    client->url = g_strdup(options->url);
    client->unix_path = g_strdup(options->unix_path);
    client->ca_pem = g_strdup(options->ca_pem);
    client->cert_pem = g_strdup(options->cert_pem);
    client->key_pem = g_strdup(options->key_pem);
    client->token = g_strdup(options->token);
    client->connect_ms_max = options->connect_ms_max != 0 ? options->connect_ms_max : CONNECT_MS;
    client->call_ms_max = options->call_ms_max != 0 ? options->call_ms_max : CALL_MS;
    client->answer_bytes_max = options->answer_bytes_max != 0 ? options->answer_bytes_max : ANSWER_BYTES_MAX;
    atomic_init(&client->cancelled, FALSE);
    client->multi = curl_multi_init();
    if (client->multi == NULL)
        g_error("out of memory for libcurl");
    return client;
}

static void wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    g_free(text);
}

void imp_http_client_free(ImpHttpClient *client)
{
    if (client == NULL)
        return;
    curl_multi_cleanup(client->multi);
    g_free(client->url);
    g_free(client->unix_path);
    g_free(client->ca_pem);
    g_free(client->cert_pem);
    wipe(client->key_pem);
    wipe(client->token);
    g_free(client);
}

void imp_http_client_set_token(ImpHttpClient *client, const char *token)
{
    wipe(client->token);
    client->token = g_strdup(token);
}

void imp_http_client_cancel(ImpHttpClient *client)
{
    atomic_store(&client->cancelled, TRUE);
    curl_multi_wakeup(client->multi);
}

/* ---- libcurl's callbacks: a return other than n ends the transfer ---- */

static size_t on_header(char *text, size_t one, size_t n, void *user)
{
    Transfer *t = user;
    g_autofree char *line = g_strndup(text, n);
    g_strchomp(line);
    if (g_ascii_strncasecmp(line, "content-type:", 13) == 0) {
        g_free(t->content_type);
        t->content_type = g_strstrip(g_strdup(line + 13));
    } else if (g_ascii_strncasecmp(line, "etag:", 5) == 0) {
        g_autofree char *value = g_strstrip(g_strdup(line + 5));
        gsize length = strlen(value);
        g_free(t->etag);
        t->etag = length >= 2 && value[0] == '"' && value[length - 1] == '"'
                      ? g_strndup(value + 1, length - 2)
                      : NULL;
    }
    return n;
}

static gboolean write_all(int fd, const char *data, gsize n_bytes)
{
    while (n_bytes > 0) {
        gssize done = write(fd, data, n_bytes);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return FALSE;
        data += done;
        n_bytes -= (gsize)done;
    }
    return TRUE;
}

static size_t on_body(char *data, size_t one, size_t n, void *user)
{
    Transfer *t = user;
    if (t->received_bytes == 0 && t->call->has_answer_fd) {
        long status = 0;
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        t->is_stream = status == 200 || status == 206; /* the text of an error goes to memory */
    }
    guint64 max = t->is_stream ? t->call->answer_fd_bytes_max : t->client->answer_bytes_max;
    if (n > max || t->received_bytes > max - n) {
        imp_error_set(&t->error, IMP_E_LIMIT, "the answer to %s is larger than %" G_GUINT64_FORMAT " bytes",
                      t->call->path, max);
        return 0;
    }
    if (t->is_stream && !write_all(t->call->answer_fd, data, n)) {
        imp_error_set(&t->error, IMP_E_IO, "the answer to %s cannot be written: %s", t->call->path,
                      g_strerror(errno));
        return 0;
    }
    if (!t->is_stream)
        g_byte_array_append(t->body, (const guint8 *)data, (guint)n);
    t->received_bytes += n;
    return n;
}

static size_t on_upload(char *buffer, size_t one, size_t n, void *user)
{
    Transfer *t = user;
    gsize wanted = (gsize)MIN(n, t->call->body_bytes - t->sent_bytes);
    gssize got = 0;
    while (wanted > 0 && (got = read(t->call->body_fd, buffer, wanted)) < 0 && errno == EINTR)
        ;
    if (got < 0 || (got == 0 && wanted > 0)) {
        imp_error_set(&t->error, IMP_E_IO, "the body of %s cannot be read: %s", t->call->path,
                      got < 0 ? g_strerror(errno) : "the file became shorter");
        return CURL_READFUNC_ABORT;
    }
    t->sent_bytes += (guint64)got;
    return (size_t)got;
}

/* ---- one call ---- */

static void set_trust(CURL *easy, const ImpHttpClient *client)
{
    struct curl_blob blob = {.flags = CURL_BLOB_NOCOPY};
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    if (client->unverified) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
        return;
    }
    /* Only the pinned CA: neither the system's file nor its folder. */
    curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    if (client->ca_pem != NULL) {
        blob.data = client->ca_pem;
        blob.len = strlen(client->ca_pem);
        curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
    }
    if (client->cert_pem != NULL) {
        blob.data = client->cert_pem;
        blob.len = strlen(client->cert_pem);
        curl_easy_setopt(easy, CURLOPT_SSLCERTTYPE, "PEM");
        curl_easy_setopt(easy, CURLOPT_SSLCERT_BLOB, &blob);
        blob.data = client->key_pem;
        blob.len = strlen(client->key_pem);
        curl_easy_setopt(easy, CURLOPT_SSLKEYTYPE, "PEM");
        curl_easy_setopt(easy, CURLOPT_SSLKEY_BLOB, &blob);
    }
}

static void add_header(struct curl_slist **headers, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void add_header(struct curl_slist **headers, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *line = g_strdup_vprintf(format, args);
    va_end(args);
    struct curl_slist *longer = curl_slist_append(*headers, line);
    if (longer == NULL)
        g_error("out of memory for libcurl");
    *headers = longer;
    explicit_bzero(line, strlen(line));
}

static struct curl_slist *make_headers(const ImpHttpClient *client, const ImpHttpCall *call)
{
    struct curl_slist *headers = NULL;
    add_header(&headers, "%s: %s", IMP_HTTP_PROTOCOL_HEADER, IMP_HTTP_PROTOCOL);
    if (call->content_type != NULL)
        add_header(&headers, "Content-Type: %s", call->content_type);
    if (client->token != NULL)
        add_header(&headers, "Authorization: Bearer %s", client->token);
    if (call->etag != NULL)
        add_header(&headers, "If-None-Match: \"%s\"", call->etag);
    if (call->range_from > 0)
        add_header(&headers, "Range: bytes=%" G_GUINT64_FORMAT "-", call->range_from);
    return headers;
}

static void set_body(CURL *easy, Transfer *t)
{
    const ImpHttpCall *call = t->call;
    gsize n_bytes = 0;
    const void *data = call->body != NULL ? g_bytes_get_data(call->body, &n_bytes) : NULL;
    if (call->has_body_fd) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_upload);
        curl_easy_setopt(easy, CURLOPT_READDATA, t);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->body_bytes);
    } else if (call->body != NULL || strcmp(call->method, "POST") == 0 || strcmp(call->method, "PUT") == 0) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n_bytes);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, data != NULL ? data : "");
    } else if (strcmp(call->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
}

static gboolean translate(const Transfer *t, CURL *easy, CURLcode rc, GError **error)
{
    const ImpHttpClient *client = t->client;
    long number = 0;
    if (client->unix_path != NULL && rc == CURLE_COULDNT_CONNECT &&
        curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &number) == CURLE_OK && number != 0) {
        /* libcurl's own words speak of a port on localhost */
        imp_error_set(error, IMP_E_HTTP_UNREACHABLE, "%s: %s; does the program run that listens there?",
                      client->unix_path, g_strerror((int)number));
        return FALSE;
    }
    const char *where = client->unix_path != NULL ? client->unix_path : client->url;
    const char *what = t->text[0] != '\0' ? t->text : curl_easy_strerror(rc);
    ImpErrorCode code;
    switch (rc) {
    case CURLE_OPERATION_TIMEDOUT:
        code = IMP_E_TIMEOUT;
        break;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
        code = IMP_E_HTTP_TLS;
        break;
    case CURLE_URL_MALFORMAT:
        code = IMP_E_HTTP_URL;
        break;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: /* an answer without an HTTP header; the URL's scheme was checked before */
        imp_error_set(error, IMP_E_HTTP_ANSWER, "%s: what answers there does not speak HTTP (%s)", where,
                      what);
        return FALSE;
    default:
        code = IMP_E_HTTP_UNREACHABLE; /* resolve, connect, broken off: in all, nothing came back */
    }
    imp_error_set(error, code, "%s: %s", where, what);
    return FALSE;
}

/* Runs the transfer on the client's multi handle, which keeps the connection for the next and can be woken. */
static gboolean run(ImpHttpClient *client, CURL *easy, CURLcode *out_rc, GError **error)
{
    curl_multi_add_handle(client->multi, easy);
    int running = 1;
    gboolean cancelled = FALSE;
    while (running > 0) {
        cancelled = atomic_load(&client->cancelled);
        if (cancelled || curl_multi_perform(client->multi, &running) != CURLM_OK)
            break;
        if (running > 0)
            curl_multi_poll(client->multi, NULL, 0, POLL_MS, NULL);
    }
    *out_rc = CURLE_RECV_ERROR;
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(client->multi, &left)) != NULL;)
        if (m->msg == CURLMSG_DONE && m->easy_handle == easy)
            *out_rc = m->data.result;
    curl_multi_remove_handle(client->multi, easy);
    if (cancelled)
        imp_error_set(error, IMP_E_CANCELLED, "the call was cancelled");
    return !cancelled;
}

static gboolean transfer(Transfer *t, int *out_status, GError **error)
{
    ImpHttpClient *client = t->client;
    const ImpHttpCall *call = t->call;
    g_autofree char *url =
        g_strconcat(client->unix_path != NULL ? "http://localhost" : client->url, call->path, NULL);
    struct curl_slist *headers = make_headers(client, call);
    CURL *easy = t->easy;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, client->unix_path != NULL ? "http" : "https");
    if (client->unix_path != NULL)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, client->unix_path);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)client->connect_ms_max);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                     (long)(call->ms_max != 0 ? call->ms_max : client->call_ms_max));
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->text);
    set_trust(easy, client);
    set_body(easy, t);
    CURLcode rc;
    gboolean good = run(client, easy, &rc, error);
    curl_slist_free_all(headers);
    if (good && t->error != NULL) {
        g_propagate_error(error, g_steal_pointer(&t->error));
        good = FALSE;
    } else if (good && rc != CURLE_OK) {
        good = translate(t, easy, rc, error);
    }
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (good)
        *out_status = (int)status;
    return good;
}

gboolean imp_http_call(ImpHttpClient *client, const ImpHttpCall *call, ImpHttpAnswer **out_answer,
                       GError **error)
{
    Transfer t = {.client = client, .call = call, .easy = curl_easy_init(), .body = g_byte_array_new()};
    if (t.easy == NULL)
        g_error("out of memory for libcurl");
    int status = 0;
    gboolean good = transfer(&t, &status, error);
    curl_easy_cleanup(t.easy);
    if (good) {
        ImpHttpAnswer *answer = g_new0(ImpHttpAnswer, 1);
        answer->status = status;
        answer->content_type = t.content_type != NULL ? g_steal_pointer(&t.content_type) : g_strdup("");
        answer->etag = g_steal_pointer(&t.etag);
        answer->body_bytes = t.received_bytes;
        answer->body = g_byte_array_free_to_bytes(g_steal_pointer(&t.body));
        *out_answer = answer;
    }
    if (t.body != NULL)
        g_byte_array_unref(t.body);
    g_clear_error(&t.error);
    g_free(t.content_type);
    g_free(t.etag);
    return good;
}

gboolean imp_http_answer_check(const ImpHttpAnswer *answer, GError **error)
{
    if (answer->status >= 200 && answer->status < 300)
        return TRUE;
    gsize n_bytes;
    const char *text = g_bytes_get_data(answer->body, &n_bytes);
    imp_http_problem_decode(text != NULL ? text : "", n_bytes, answer->status, error);
    return FALSE;
}

json_t *imp_http_call_json(ImpHttpClient *client, const char *method, const char *path,
                           const json_t *document, GError **error)
{
    g_autoptr(GBytes) body = NULL;
    if (document != NULL) {
        char *text = json_dumps(document, JSON_COMPACT);
        g_assert(text != NULL);
        body = g_bytes_new_with_free_func(text, strlen(text), free, text);
    }
    ImpHttpCall call = {.method = method,
                        .path = path,
                        .content_type = body != NULL ? "application/json" : NULL,
                        .body = body};
    g_autoptr(ImpHttpAnswer) answer = NULL;
    if (!imp_http_call(client, &call, &answer, error) || !imp_http_answer_check(answer, error))
        return NULL;
    gsize n_bytes;
    const char *text = g_bytes_get_data(answer->body, &n_bytes);
    if (n_bytes == 0)
        return json_object();
    return imp_json_parse(text, n_bytes, client->answer_bytes_max, path, IMP_E_HTTP_ANSWER, error);
}

char *imp_http_escape(const char *text)
{
    return g_uri_escape_string(text, NULL, FALSE);
}

/* ---- trust ---- */

static X509 *parse_cert(const char *pem, GError **error)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (cert == NULL)
        imp_error_set(error, IMP_E_HTTP_TLS, "that is no certificate in PEM form");
    return cert;
}

static void key_digest(X509 *cert, guint8 out[IMP_HTTP_KEY_DIGEST_BYTES])
{
    unsigned char *der = NULL;
    int n_der = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    if (n_der <= 0 || EVP_Digest(der, (size_t)n_der, out, NULL, EVP_sha256(), NULL) != 1)
        g_error("out of memory for a digest");
    OPENSSL_free(der);
}

gboolean imp_http_key_digest(const char *cert_pem, guint8 out[IMP_HTTP_KEY_DIGEST_BYTES], GError **error)
{
    X509 *cert = parse_cert(cert_pem, error);
    if (cert == NULL)
        return FALSE;
    key_digest(cert, out);
    X509_free(cert);
    return TRUE;
}

/* One certificate and nothing else, whatever stood around it. */
static char *format_cert(X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    if (bio == NULL || PEM_write_bio_X509(bio, cert) != 1)
        g_error("out of memory for a certificate");
    long n_bytes = BIO_get_mem_data(bio, &text);
    char *pem = g_strndup(text, (gsize)n_bytes);
    BIO_free(bio);
    return pem;
}

char *imp_http_fetch_ca(const char *url, const guint8 *digest, GError **error)
{
    ImpHttpClientOptions options = {.url = url, .answer_bytes_max = CA_BYTES_MAX};
    g_autoptr(ImpHttpClient) client = imp_http_client_new(&options, error);
    if (client == NULL)
        return NULL;
    client->unverified = TRUE;
    g_autoptr(ImpHttpAnswer) answer = NULL;
    if (!imp_http_call(client, &(ImpHttpCall){.method = "GET", .path = "/v1/ca"}, &answer, error) ||
        !imp_http_answer_check(answer, error))
        return NULL;
    gsize n_bytes;
    const char *text = g_bytes_get_data(answer->body, &n_bytes);
    g_autofree char *pem = g_strndup(text != NULL ? text : "", n_bytes);
    X509 *cert = parse_cert(pem, error);
    if (cert == NULL) {
        g_prefix_error(error, "%s: ", url);
        return NULL;
    }
    guint8 found[IMP_HTTP_KEY_DIGEST_BYTES];
    key_digest(cert, found);
    char *clean = NULL;
    if (digest == NULL || memcmp(found, digest, sizeof found) == 0) {
        clean = format_cert(cert);
    } else {
        g_autofree char *is = imp_hex_encode(found, sizeof found);
        g_autofree char *shall = imp_hex_encode(digest, sizeof found);
        imp_error_set(error, IMP_E_HTTP_TLS,
                      "%s: the CA's key digest is %s, expected %s: this is another server; nothing was sent",
                      url, is, shall);
    }
    X509_free(cert);
    return clean;
}
