#include "launch/able.h"

static gboolean unable(const ImpContent *content, const char *what, GError **error)
{
    imp_error_set(error, IMP_E_UNSUPPORTED,
                  "'%s' asks for %s: this version cannot do that and does not start", content->name, what);
    return FALSE;
}

gboolean imp_launch_able(const ImpContent *content, GError **error)
{
    const char *what = NULL;
    for (gsize i = 0; what == NULL && i < content->n_steps; i++)
        if (content->steps[i].kind == IMP_STEP_PROTECT &&
            imp_device_lock_of(content->device, content->steps[i].level) == NULL)
            what = "a level of protection that its device does not have";
    return what == NULL || unable(content, what, error);
}
