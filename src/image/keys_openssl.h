/* Inside of image/ only: keys as OpenSSL sees them. */
#pragma once

#include <openssl/evp.h>

#include "image/keys.h"

typedef struct {
    gboolean has_private;
    ImpKeyRole role;
    gboolean in_token; /* its private half cannot be written down */
} ImpKeyTraits;

/* Takes over pkey, also when it fails. E3102. */
ImpKey *imp_key_take_pkey(EVP_PKEY *pkey, ImpKeyTraits traits, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Borrowed. */
EVP_PKEY *imp_key_pkey(const ImpKey *key);

/* Sets *error with what, then OpenSSL's first reason; empties OpenSSL's queue. */
void imp_openssl_error_set(GError **error, ImpErrorCode code, const char *what);
