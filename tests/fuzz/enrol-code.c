/* An enrolment code: what is taken is written again and is the same. */
#include <stdint.h>
#include <string.h>

#include "wire/enrol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autoptr(GError) error = NULL;
    ImpEnrolCode code, again;
    gboolean good = imp_enrol_code_decode(text, &code, &error);
    g_assert(good == (error == NULL));
    if (!good)
        return 0;
    g_autofree char *line = imp_enrol_code_encode(&code);
    g_assert(imp_enrol_code_decode(line, &again, &error));
    g_assert(memcmp(&code, &again, sizeof code) == 0);
    return 0;
}
