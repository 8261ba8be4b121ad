/* The identity of a key: SHA-256 over the DER of its SubjectPublicKeyInfo, all 32 bytes. The same bytes are the CMS
 * SubjectKeyIdentifier (RFC 5652, 5.3 and 6.2.2) of signers and recipients; nothing is truncated anywhere. Written as 64
 * lower-case hexadecimal digits: that is the fingerprint that people compare.
 *
 * Values; any thread. */
#pragma once

#include <glib.h>

/* Cipher suites: the kind of all key pairs of an image. The number stands in the image's fixed header. */
#define IMP_IMAGE_SUITE_P256 1 /* ECDSA P-256 SHA-256; ECDH P-256, SHA-256 KDF, AES-256 wrap; AES-256-GCM */
#define IMP_IMAGE_SUITE_RSA  2 /* RSA 3072: PSS with SHA-256, OAEP with SHA-256; AES-256-GCM */

#define IMP_KEY_ID_BYTES     32
#define IMP_KEY_ID_TEXT_SIZE 65 /* with the closing NUL */

typedef struct {
    guint8 bytes[IMP_KEY_ID_BYTES];
} ImpKeyId;

/* Writes the text form and returns text. */
const char *imp_key_id_text(const ImpKeyId *id, char text[IMP_KEY_ID_TEXT_SIZE]);

/* TRUE and *out_id if text is exactly 64 lower-case hexadecimal digits. */
gboolean imp_key_id_parse(const char *text, ImpKeyId *out_id);

gboolean imp_key_id_equal(const ImpKeyId *a, const ImpKeyId *b);
