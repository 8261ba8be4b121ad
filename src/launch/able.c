#include "launch/able.h"

static gboolean unable(const ImpContent *content, const char *what, GError **error)
{
    imp_error_set(error, IMP_E_UNSUPPORTED,
                  "'%s' asks for %s: this version cannot do that and does not start", content->name, what);
    return FALSE;
}

/* NULL: it is carried out. */
static const char *missing_step(const ImpStep *step)
{
    switch (step->kind) {
    case IMP_STEP_ERASE:
    case IMP_STEP_PROGRAM:
    case IMP_STEP_VERIFY:
    case IMP_STEP_READ:
    case IMP_STEP_RESET:
    case IMP_STEP_RUN:
    case IMP_STEP_TEST:
    case IMP_STEP_PROTECT:
    case IMP_STEP_POWER:
        return NULL;
    case IMP_STEP_BLANK_CHECK:
        return "a blank check";
    case IMP_STEP_WRITE:
        return "a write over the bus";
    case IMP_STEP_EXPECT:
        return "an expected value";
    case IMP_STEP_DELAY:
        return "a delay";
    }
    g_assert_not_reached();
}

static const char *missing_value(const ImpValue *value)
{
    switch (value->kind) {
    case IMP_VALUE_POOL:
    case IMP_VALUE_READ:
    case IMP_VALUE_FROM_TEST:
        return NULL;
    case IMP_VALUE_BARCODE:
        return "a label's barcode";
    case IMP_VALUE_GIVEN:
        return "dynamic data";
    }
    g_assert_not_reached();
}

gboolean imp_launch_able(const ImpContent *content, GError **error)
{
    const char *what = NULL;
    if (content->rework != IMP_REWORK_NEW_VALUES)
        what = "a rule for a chip that passed before";
    else if (content->n_pools > 1)
        what = "numbers of several pools";
    for (gsize i = 0; what == NULL && i < content->n_values; i++)
        what = missing_value(&content->values[i]);
    for (gsize i = 0; what == NULL && i < content->n_steps; i++)
        what = missing_step(&content->steps[i]);
    for (gsize i = 0; what == NULL && i < content->n_steps; i++)
        if (content->steps[i].kind == IMP_STEP_PROTECT &&
            imp_device_lock_of(content->device, content->steps[i].level) == NULL)
            what = "a level of protection that its device does not have";
    for (gsize i = 0; what == NULL && i < content->n_finally; i++)
        what = missing_step(&content->finally[i]);
    return what == NULL || unable(content, what, error);
}
