/* Inside of image/ only: restrictions and pools as JSON, the same in manifests and in registration statements.
 *
 *     restrictions  { "count_on": "pass"|"write" "units"? "max_failures"? "not_before_s"? "not_after_s"?
 *                     "numbers"?: { "first" "last" } }
 *     pools         [{ "id" "definition" "sha256" }…]     sha256 over the definition's text, which is canonical JSON */
#pragma once

#include "base/json.h"
#include "image/content.h"

#define IMP_DEFINITION_MAX (256 * 1024) /* bytes of a pool's definition: ledger/pool.h */

json_t *imp_restrictions_encode(const ImpRestrictions *restrictions);
gboolean imp_restrictions_decode(const json_t *object, ImpErrorCode wrong, ImpErrorCode unknown,
                                 ImpRestrictions *out_restrictions, GError **error) G_GNUC_WARN_UNUSED_RESULT;

json_t *imp_pools_encode(const ImpPoolUse *pools, gsize n_pools);
/* *out_pools: n items to be freed with imp_pools_free. */
gboolean imp_pools_decode(const json_t *array, ImpErrorCode wrong, ImpErrorCode unknown,
                          ImpPoolUse **out_pools, gsize *out_n_pools,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_pools_free(ImpPoolUse *pools, gsize n_pools);
