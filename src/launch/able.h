/* Inside of launch/ only: what an image may ask for that this version does not carry out. */
#pragma once

#include "image/content.h"

/* TRUE, or FALSE and IMP_E_UNSUPPORTED that names it. */
gboolean imp_launch_able(const ImpContent *content, GError **error) G_GNUC_WARN_UNUSED_RESULT;
