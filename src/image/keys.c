#include "image/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/json.h"
#include "image/key_store.h"
#include "image/keys_openssl.h"
#include "image/sha256.h"
#include "image/secret.h"

#define ROLE_LINE        "Imprint-Key: " /* before the PEM block, where RFC 7468 (section 2) allows text */
#define NEW_PUBLIC_MODE  0644
#define NEW_PRIVATE_MODE 0600

struct ImpKey {
    gatomicrefcount refs;
    EVP_PKEY *pkey;
    guint16 suite;
    ImpKeyTraits traits;
    ImpKeyId id;
};

static const char *const role_names[] = {
    [IMP_KEY_AUTHOR] = "author",
    [IMP_KEY_IMAGE] = "image",
    [IMP_KEY_STATION] = "station",
    [IMP_KEY_ROOT] = "root",
};

const char *imp_key_role_name(ImpKeyRole role)
{
    g_assert(role < G_N_ELEMENTS(role_names));
    return role_names[role];
}

gboolean imp_key_role_parse(const char *name, ImpKeyRole *out_role)
{
    for (guint i = 0; i < G_N_ELEMENTS(role_names); i++)
        if (g_strcmp0(role_names[i], name) == 0) {
            *out_role = (ImpKeyRole)i;
            return TRUE;
        }
    return FALSE;
}

void imp_openssl_error_set(GError **error, ImpErrorCode code, const char *what)
{
    char reason[256] = "no reason given";
    unsigned long first = ERR_get_error();
    if (first != 0)
        ERR_error_string_n(first, reason, sizeof reason);
    ERR_clear_error();
    imp_error_set(error, code, "%s: %s", what, reason);
}

/* --- one key -------------------------------------------------------------------------------------------------------- */

/* The suite that the key belongs to; 0 = none. */
static guint16 suite_of(EVP_PKEY *pkey)
{
    char group[32];
    gsize n_group;
    if (EVP_PKEY_is_a(pkey, "EC") && EVP_PKEY_get_group_name(pkey, group, sizeof group, &n_group) == 1 &&
        strcmp(group, "prime256v1") == 0)
        return IMP_IMAGE_SUITE_P256;
    if (EVP_PKEY_is_a(pkey, "RSA") && EVP_PKEY_get_bits(pkey) == IMP_KEY_RSA_BITS)
        return IMP_IMAGE_SUITE_RSA;
    return 0;
}

static GBytes *public_der(EVP_PKEY *pkey)
{
    unsigned char *der = NULL;
    int n_der = i2d_PUBKEY(pkey, &der);
    g_assert(n_der > 0);
    GBytes *bytes = g_bytes_new(der, (gsize)n_der);
    OPENSSL_free(der);
    return bytes;
}

ImpKey *imp_key_take_pkey(EVP_PKEY *pkey, ImpKeyTraits traits, GError **error)
{
    guint16 suite = suite_of(pkey);
    if (suite == 0) {
        imp_error_set(
            error, IMP_E_KEY_KIND,
            "the key is of type %s with %d bits; it must be an EC key on P-256 or an RSA key of %d bits",
            EVP_PKEY_get0_type_name(pkey) != NULL ? EVP_PKEY_get0_type_name(pkey) : "unknown",
            EVP_PKEY_get_bits(pkey), IMP_KEY_RSA_BITS);
        EVP_PKEY_free(pkey);
        return NULL;
    }
    /* One encoding for one key, whatever form the file had: the ID is a digest over it. */
    if (suite == IMP_IMAGE_SUITE_P256)
        EVP_PKEY_set_utf8_string_param(pkey, "point-format", "uncompressed");
    ImpKey *key = g_new0(ImpKey, 1);
    g_atomic_ref_count_init(&key->refs);
    key->pkey = pkey;
    key->suite = suite;
    key->traits = traits;
    g_autoptr(GBytes) der = public_der(pkey);
    imp_sha256(g_bytes_get_data(der, NULL), g_bytes_get_size(der), key->id.bytes);
    return key;
}

EVP_PKEY *imp_key_pkey(const ImpKey *key)
{
    return key->pkey;
}

ImpKey *imp_key_generate(guint16 suite, ImpKeyRole role, GError **error)
{
    g_assert(suite == IMP_IMAGE_SUITE_P256 || suite == IMP_IMAGE_SUITE_RSA);
    EVP_PKEY *pkey =
        suite == IMP_IMAGE_SUITE_P256 ? EVP_EC_gen("P-256") : EVP_RSA_gen((size_t)IMP_KEY_RSA_BITS);
    if (pkey == NULL) {
        imp_openssl_error_set(error, IMP_E_CRYPTO, "a key could not be made");
        return NULL;
    }
    return imp_key_take_pkey(pkey, (ImpKeyTraits){.has_private = TRUE, .role = role}, error);
}

const ImpKeyId *imp_key_id(const ImpKey *key)
{
    return &key->id;
}

gboolean imp_key_has_private(const ImpKey *key)
{
    return key->traits.has_private;
}

gboolean imp_key_can_leave(const ImpKey *key)
{
    return key->traits.has_private && !key->traits.in_token;
}

guint16 imp_key_suite(const ImpKey *key)
{
    return key->suite;
}

ImpKeyRole imp_key_role(const ImpKey *key)
{
    return key->traits.role;
}

gboolean imp_key_check_role(const ImpKey *key, ImpKeyRole role, const char *what, GError **error)
{
    if (key->traits.role == role || key->traits.role == IMP_KEY_ANY)
        return TRUE;
    char id[IMP_KEY_ID_TEXT_SIZE];
    imp_error_set(error, IMP_E_KEY_ROLE, "%s: the key %.16s... says that it is for '%s', not for '%s'", what,
                  imp_key_id_text(&key->id, id), role_names[key->traits.role], role_names[role]);
    return FALSE;
}

ImpKey *imp_key_ref(const ImpKey *key)
{
    /* Only the counter changes, which is atomic. */
    ImpKey *own = (ImpKey *)key;
    g_atomic_ref_count_inc(&own->refs);
    return own;
}

void imp_key_unref(ImpKey *key)
{
    if (key == NULL || !g_atomic_ref_count_dec(&key->refs))
        return;
    EVP_PKEY_free(key->pkey); /* clears the private number */
    g_free(key);
}

GBytes *imp_key_public_der(const ImpKey *key)
{
    return public_der(key->pkey);
}

ImpKey *imp_key_from_public_der(GBytes *der, GError **error)
{
    gsize n_der;
    const unsigned char *at = g_bytes_get_data(der, &n_der);
    const unsigned char *end = at + n_der;
    EVP_PKEY *pkey = n_der > IMP_KEY_FILE_MAX ? NULL : d2i_PUBKEY(NULL, &at, (long)n_der);
    if (pkey == NULL || at != end) {
        EVP_PKEY_free(pkey);
        imp_openssl_error_set(error, IMP_E_KEY_FILE, "this is no public key in DER");
        return NULL;
    }
    return imp_key_take_pkey(pkey, (ImpKeyTraits){.role = IMP_KEY_ANY}, error);
}

/* A role's line, or nothing. */
static gboolean put_role(BIO *bio, ImpKeyRole role)
{
    return role == IMP_KEY_ANY || BIO_printf(bio, ROLE_LINE "%s\n", role_names[role]) > 0;
}

char *imp_key_public_pem(const ImpKey *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    gboolean written = put_role(bio, key->traits.role) && PEM_write_bio_PUBKEY(bio, key->pkey) == 1;
    g_assert(written);
    char *text;
    long n_text = BIO_get_mem_data(bio, &text);
    char *pem = g_strndup(text, (gsize)n_text);
    BIO_free(bio);
    return pem;
}

/* No passphrase is ever asked for on a terminal. */
static int no_passphrase(char *buf, int size, int rwflag, void *user)
{
    (void)buf, (void)size, (void)rwflag, (void)user;
    return -1;
}

/* What the lines before the PEM block say that the key is for. */
static gboolean read_role(const char *pem, gsize n_pem, ImpKeyRole *out_role, GError **error)
{
    const char *block = g_strstr_len(pem, (gssize)n_pem, "-----BEGIN");
    const char *at = g_strstr_len(pem, block != NULL ? block - pem : 0, ROLE_LINE);
    *out_role = IMP_KEY_ANY;
    if (at == NULL || (at != pem && at[-1] != '\n'))
        return TRUE;
    at += strlen(ROLE_LINE);
    g_autofree char *word = g_strndup(at, MIN(strcspn(at, "\r\n"), (gsize)(block - at)));
    if (imp_key_role_parse(word, out_role))
        return TRUE;
    imp_error_set(error, IMP_E_KEY_FILE, "the key says that it is for '%.20s', which is unknown here", word);
    return FALSE;
}

static ImpKey *parse_pem(const char *pem, gsize n_pem, gboolean private, GError **error)
{
    ImpKeyRole role;
    if (!read_role(pem, n_pem, &role, error))
        return NULL;
    BIO *bio = BIO_new_mem_buf(pem, (int)n_pem);
    EVP_PKEY *pkey = private ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL)
                             : PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    if (pkey == NULL) {
        /* what OpenSSL says of it ("DECODER routines::unsupported") helps nobody */
        ERR_clear_error();
        imp_error_set(error, IMP_E_KEY_FILE, "there is no PEM key that can be read");
        return NULL;
    }
    return imp_key_take_pkey(pkey, (ImpKeyTraits){.has_private = private, .role = role}, error);
}

ImpKey *imp_key_from_public_pem(const char *pem, GError **error)
{
    gsize n_pem = strlen(pem);
    if (n_pem > IMP_KEY_FILE_MAX) {
        imp_error_set(error, IMP_E_KEY_FILE, "%" G_GSIZE_FORMAT " bytes are no PEM key", n_pem);
        return NULL;
    }
    return parse_pem(pem, n_pem, FALSE, error);
}

/* --- key files ------------------------------------------------------------------------------------------------------ */

/* Reads all of a small file into wiped memory with a closing NUL; *out_mode is its mode. */
static ImpSecret *read_file(const char *path, guint *out_mode, GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        imp_error_set(error, imp_error_code_of_errno(errno), "%s: %s", path, g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    g_autoptr(ImpSecret) secret = imp_secret_new(IMP_KEY_FILE_MAX + 1);
    gsize n_bytes = 0;
    gssize got = secret == NULL ? 0 : 1;
    while (got > 0 && n_bytes < IMP_KEY_FILE_MAX) {
        got = read(fd, secret->bytes + n_bytes, IMP_KEY_FILE_MAX - n_bytes);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            n_bytes += (gsize)got;
    }
    int reason = errno;
    close(fd);
    if (secret == NULL || got < 0) {
        imp_error_set(error, secret == NULL ? IMP_E_NO_MEMORY : imp_error_code_of_errno(reason), "%s: %s",
                      path, secret == NULL ? "no memory" : g_strerror(reason));
        return NULL;
    }
    if (n_bytes == IMP_KEY_FILE_MAX) {
        imp_error_set(error, IMP_E_KEY_FILE, "%s: %d bytes or more are no key file", path, IMP_KEY_FILE_MAX);
        return NULL;
    }
    secret->n_bytes = n_bytes;
    *out_mode = info.st_mode;
    return g_steal_pointer(&secret);
}

ImpKey *imp_key_load(const char *path, GError **error)
{
    guint mode;
    if (imp_key_store_is_uri(path))
        return imp_key_store_load(path, error);
    g_autoptr(ImpSecret) pem = read_file(path, &mode, error);
    if (pem == NULL)
        return NULL;
    gboolean private = strstr((const char *)pem->bytes, "PRIVATE KEY-----") != NULL;
    if (private && (mode & 077) != 0) {
        imp_error_set(error, IMP_E_KEY_MODE, "%s: mode %04o lets others read this private key", path,
                      mode & 07777);
        return NULL;
    }
    ImpKey *key = parse_pem((const char *)pem->bytes, pem->n_bytes, private, error);
    if (key == NULL)
        g_prefix_error(error, "%s: ", path);
    return key;
}

static gboolean write_all(int fd, const char *bytes, gsize n_bytes)
{
    while (n_bytes > 0) {
        gssize put = write(fd, bytes, n_bytes);
        if (put < 0 && errno != EINTR)
            return FALSE;
        if (put > 0) {
            bytes += put;
            n_bytes -= (gsize)put;
        }
    }
    return TRUE;
}

/* A new file, never one that is there: O_EXCL, then file and folder to disk. */
static gboolean save_new(const char *path, mode_t mode, const char *bytes, gsize n_bytes, GError **error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) {
        int reason = errno;
        imp_error_set(error, reason == EEXIST ? IMP_E_EXISTS : imp_error_code_of_errno(reason), "%s: %s",
                      path, g_strerror(reason));
        return FALSE;
    }
    gboolean good = fchmod(fd, mode) == 0 && write_all(fd, bytes, n_bytes) && fsync(fd) == 0;
    int reason = errno;
    close(fd);
    g_autofree char *folder = g_path_get_dirname(path);
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0) {
        (void)fsync(dir); /* some file systems cannot */
        close(dir);
    }
    if (!good) {
        unlink(path);
        imp_error_set(error, IMP_E_IO, "%s: %s", path, g_strerror(reason));
    }
    return good;
}

gboolean imp_key_save_private(const ImpKey *key, const char *path, GError **error)
{
    if (!imp_key_can_leave(key)) {
        imp_error_set(error, IMP_E_KEY_PRIVATE_MISSING, "%s: %s", path,
                      key->traits.has_private ? "the private half of the key cannot leave its token"
                                              : "there is only the public half of the key");
        return FALSE;
    }
    BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when freed */
    gboolean good = put_role(bio, key->traits.role) &&
                    PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL) == 1;
    if (good) {
        char *text;
        long n_text = BIO_get_mem_data(bio, &text);
        good = save_new(path, NEW_PRIVATE_MODE, text, (gsize)n_text, error);
    } else {
        imp_openssl_error_set(error, IMP_E_CRYPTO, path);
    }
    BIO_free(bio);
    return good;
}

gboolean imp_key_save_public(const ImpKey *key, const char *path, GError **error)
{
    g_autofree char *pem = imp_key_public_pem(key);
    return save_new(path, NEW_PUBLIC_MODE, pem, strlen(pem), error);
}
