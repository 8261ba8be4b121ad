/* Inside of image/ only: the envelopes of both suites, as CMS. Nested, if encrypted:
 *
 *     AuthEnvelopedData (RFC 5083, RFC 5084; AES-256-GCM, 12-byte nonce, 16-byte tag; no attributes)
 *         one recipient by key ID: suite 1 a KeyAgreeRecipientInfo (RFC 5753: dhSinglePass-stdDH-sha256kdf, aes256-wrap,
 *         P-256), suite 2 a KeyTransRecipientInfo (RFC 3560: RSAES-OAEP, SHA-256, 3072 bits)
 *         of SignedData
 *     SignedData (RFC 5652; version 3, one SignerInfo by subject key identifier, no attributes)
 *         suite 1: ECDSA P-256 with SHA-256; suite 2: RSASSA-PSS (RFC 4056), SHA-256, 32 bytes of salt, 3072 bits
 *         of the content, type id-data; no certificates, no revocation lists
 *
 * The templates in envelope_sign.c and envelope_seal.c are the whole grammar. What is made is held against them as well
 * as what is read. Without attributes the signature is over the content itself (RFC 5652, 5.4), so it is made and checked
 * with the fields of the template and no CMS code at all; decryption calls CMS only after the template has matched. */
#pragma once

#include "image/keys.h"
#include "image/secret.h"

#define IMP_CMS_CONTENT_MAX (4u * 1024 * 1024)

typedef struct {
    guint16 suite;
    const guint8 *content; /* inside the DER */
    gsize n_content;
    ImpKeyId signer;
    const guint8 *signature; /* inside the DER */
    gsize n_signature;
} ImpCmsSigned;

/* Library imp_image_sign. In the suite of the author's key. Errors: E3103, E3107; E3108 from a token. */
GBytes *imp_cms_sign(const void *content, gsize n_bytes, const ImpKey *author,
                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Holds it against the suite's template, or, with suite 0, against each. Says nothing of the signature. Errors: E3010,
 * E3013. */
gboolean imp_cms_parse_signed(const guint8 *der, gsize n_der, guint16 suite, ImpCmsSigned *out_signed,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Errors: E3017. author's ID must be the signer. */
gboolean imp_cms_verify(const ImpCmsSigned *signed_data, const ImpKey *author,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Library imp_image. In the suite of the recipient's key. Errors: E3107. */
GBytes *imp_cms_seal(const void *content, gsize n_bytes, const ImpKey *recipient,
                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Holds it against the suite's template. Errors: E3010 to E3013. */
gboolean imp_cms_parse_sealed(const guint8 *der, gsize n_der, guint16 suite, ImpKeyId *out_recipient,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The content, in locked memory. The DER must have been held against the template of the key's suite. Errors: E3014,
 * E3103. */
ImpSecret *imp_cms_open(const guint8 *der, gsize n_der, const ImpKey *key,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;
