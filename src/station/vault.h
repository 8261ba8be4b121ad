/* What a station keeps of keys and trust, in the folder keys/ of its data folder:
 *
 *     tls.key            the pair behind its certificate at the cloud        made at the first start, mode 0600
 *     sealing.key        the pair that image keys are sealed to              likewise; never used for anything else
 *     granted/ID.grant   image keys, sealed to the sealing key (image/keys.h)
 *     authors.json       the authors whose images run here, by the word of whoever is at the station
 *     account.trust      the newest list of authors that the account's root key has signed (image/trust.h)
 *
 * The sealing key may be in a PKCS#11 token instead, and image keys, too: then the token does what needs them.
 *
 * No private image key is on the disk in clear. Opened image keys are in memory from the start to their deletion; the shares of
 * images that a cloud releases are in memory only, and asked for again after a restart.
 *
 * Thread rule: the event loop's thread. */
#pragma once

#include "image/keys.h"
#include "image/trust.h"

typedef struct ImpVault ImpVault;

typedef struct {
    const char *sealing; /* pkcs11: URI of the sealing key; NULL: sealing.key */
    const char *const *image_keys; /* pkcs11: URIs of image keys, NULL-terminated; NULL: none */
} ImpVaultOptions;

/* Opens the folder, making it and the two pairs if they are not there. A grant that cannot be opened is left where it is,
 * with a warning. options may be NULL. Errors: E1002, E31xx. */
ImpVault *imp_vault_open(const char *folder, const ImpVaultOptions *options,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_vault_free(ImpVault *vault); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpVault, imp_vault_free)

/* Borrowed; for imp_image_open. authors: the station's own and the account's. */
const ImpKeyRing *imp_vault_image_keys(const ImpVault *vault);
const ImpKeyRing *imp_vault_authors(const ImpVault *vault);
/* TRUE if the station itself trusts this author; else the account's list does. */
gboolean imp_vault_is_own_author(const ImpVault *vault, const ImpKeyId *id);
const ImpKey *imp_vault_sealing_key(const ImpVault *vault);
const ImpKey *imp_vault_tls_key(const ImpVault *vault);
const char *imp_vault_tls_key_path(const ImpVault *vault);

/* Takes an image key that was sealed to this station; durable on return. *out_id is which it is. Errors: E3105, E301x,
 * E1002, E1004. */
gboolean imp_vault_grant(ImpVault *vault, GBytes *grant, ImpKeyId *out_id,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Forgets an image key, in memory at once and on the disk durably. Errors: E1009, E1002; E1007 for a key of a token, which only the
 * configuration takes away for good. */
gboolean imp_vault_revoke(ImpVault *vault, const ImpKeyId *id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Trusts an author (PEM); durable on return. Errors: E3101, E3102, E1004, E1002. */
gboolean imp_vault_trust(ImpVault *vault, const char *name, const char *public_pem, ImpKeyId *out_id,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Errors: E1009 (also for an author whom the account's list names), E1002. */
gboolean imp_vault_distrust(ImpVault *vault, const ImpKeyId *id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* From now on the account's lists are taken if this key has signed them; the one that is on the disk is read. NULL: there is no
 * root key, and no list of it counts. */
void imp_vault_use_root(ImpVault *vault, const ImpKeyId *root);
/* Number of the account's list; 0 = none. */
guint64 imp_vault_list_number(const ImpVault *vault);
/* Takes a newer list; durable on return. Whoever it does not name is blocked at once. Errors: E3111 (also without a root key),
 * E3112 (not newer), E3010, E3013, E3017, E3106, E1002. */
gboolean imp_vault_take_list(ImpVault *vault, GBytes *list, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Shares of images, 32 bytes each, one after the other: these and no others are kept, in memory. FALSE: nothing is different.
 * Errors are told as warnings: an image without its share is refused anyway. */
gboolean imp_vault_set_shares(ImpVault *vault, const guint8 *shares, gsize n_shares);
