#include "wire/wire.h"

#include <string.h>

static const char *const result_names[] = {
    [IMP_RESULT_PASSED] = "passed",     [IMP_RESULT_FAILED] = "failed",
    [IMP_RESULT_SPENT] = "spent",       [IMP_RESULT_UNKNOWN] = "unknown",
    [IMP_RESULT_LOST] = "lost",         [IMP_RESULT_RETURNED] = "returned",
    [IMP_RESULT_VERIFIED] = "verified", [IMP_RESULT_UNVERIFIED] = "unverified",
};

gboolean imp_result_is_comparison(ImpResult result)
{
    return result == IMP_RESULT_VERIFIED || result == IMP_RESULT_UNVERIFIED;
}

const char *imp_result_name(ImpResult result)
{
    g_assert(result < G_N_ELEMENTS(result_names) && result_names[result] != NULL);
    return result_names[result];
}

gboolean imp_result_parse(const char *name, ImpResult *out_result)
{
    for (guint i = 0; i < G_N_ELEMENTS(result_names); i++)
        if (result_names[i] != NULL && strcmp(result_names[i], name) == 0) {
            *out_result = (ImpResult)i;
            return TRUE;
        }
    return FALSE;
}

void imp_sync_request_free(ImpSyncRequest *request)
{
    if (request == NULL)
        return;
    g_free(request->reports);
    g_free(request->refreshes);
    g_free(request->identifies);
    g_free(request->wants);
    g_free(request);
}

void imp_sync_response_free(ImpSyncResponse *response)
{
    if (response == NULL)
        return;
    g_free(response->open);
    g_free(response->answers);
    g_free(response);
}
