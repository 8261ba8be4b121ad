/* What a station keeps of keys and trust, in the folder keys/ of its data folder:
 *
 *     tls.key            the pair behind its certificate at the cloud        made at the first start, mode 0600
 *     sealing.key        the pair that image keys are sealed to              likewise; never used for anything else
 *     granted/ID.grant   image keys, sealed to the sealing key (image/keys.h)
 *     authors.json       the authors whose images run here
 *
 * No private image key is on the disk in clear. Opened image keys are in memory from the start to their deletion.
 *
 * Thread rule: the event loop's thread. */
#pragma once

#include "image/keys.h"

typedef struct ImpVault ImpVault;

/* Opens the folder, making it and the two pairs if they are not there. A grant that cannot be opened is left where it is,
 * with a warning. Errors: E1002, E31xx. */
ImpVault *imp_vault_open(const char *folder, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_vault_free(ImpVault *vault); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpVault, imp_vault_free)

/* Borrowed; for imp_image_open. */
const ImpKeyRing *imp_vault_image_keys(const ImpVault *vault);
const ImpKeyRing *imp_vault_authors(const ImpVault *vault);
const ImpKey *imp_vault_sealing_key(const ImpVault *vault);
const ImpKey *imp_vault_tls_key(const ImpVault *vault);
const char *imp_vault_tls_key_path(const ImpVault *vault);

/* Takes an image key that was sealed to this station; durable on return. *out_id is which it is. Errors: E3105, E301x,
 * E1002, E1004. */
gboolean imp_vault_grant(ImpVault *vault, GBytes *grant, ImpKeyId *out_id,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Forgets an image key, in memory at once and on the disk durably. Errors: E1009, E1002. */
gboolean imp_vault_revoke(ImpVault *vault, const ImpKeyId *id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Trusts an author (PEM); durable on return. Errors: E3101, E3102, E1004, E1002. */
gboolean imp_vault_trust(ImpVault *vault, const char *name, const char *public_pem, ImpKeyId *out_id,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Errors: E1009, E1002. */
gboolean imp_vault_distrust(ImpVault *vault, const ImpKeyId *id, GError **error) G_GNUC_WARN_UNUSED_RESULT;
