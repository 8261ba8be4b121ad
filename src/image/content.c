#include "image/content.h"

void imp_content_free(ImpContent *content)
{
    if (content == NULL)
        return;
    g_free(content->name);
    g_free(content->version);
    imp_device_free(content->device);
    for (gsize i = 0; i < content->n_segments; i++) {
        g_free(content->segments[i].data);
        g_clear_pointer(&content->segments[i].bytes, g_bytes_unref);
    }
    g_free(content->segments);
    for (gsize i = 0; i < content->n_pools; i++) {
        g_free(content->pools[i].id);
        g_free(content->pools[i].definition);
    }
    g_free(content->pools);
    for (gsize i = 0; i < content->n_values; i++)
        g_free(content->values[i].name);
    g_free(content->values);
    g_free(content->places);
    g_free(content->steps);
    g_free(content);
}
