/* Keys in PKCS#11 tokens (smart cards, HSMs, TPMs with a PKCS#11 library), by URI as RFC 7512 has it:
 *
 *     pkcs11:token=factory;object=image-2026?pin-source=file:/etc/imprint/pin&module-path=/usr/lib/softhsm/libsofthsm2.so
 *
 * The private half stays in the token. token and object say which one; pin-source names a file with the PIN (pin-value is
 * refused: arguments and configurations are read by others); module-path names the token's library (default: p11-kit's
 * proxy, which knows the system's). An EC image key needs CKA_DERIVE, an RSA one CKA_DECRYPT.
 *
 * Behind this one file stands OpenSSL's engine "pkcs11" (libengine-pkcs11-openssl), which is loaded when the first such key
 * is asked for and not needed otherwise. One process can use one module-path.
 *
 * Thread rule: any thread; whoever loads the first token key of a process does so before other threads load one. */
#pragma once

#include "image/keys.h"

#define IMP_KEY_URI_PREFIX "pkcs11:"
#define IMP_KEY_URI_MAX    1024

/* TRUE if this is the URI of a key, not the path of a file. */
gboolean imp_key_store_is_uri(const char *path);

/* Opens the private key, or, where there is none, the public one. Errors: E1001 (the URI), E3108 (engine, token, PIN, no such
 * key), E3102. */
ImpKey *imp_key_store_load(const char *uri, GError **error) G_GNUC_WARN_UNUSED_RESULT;
