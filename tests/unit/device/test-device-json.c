/* The JSON form of a device: there and back again, and what does not hold together is refused. */
#include <string.h>

#include "base/error.h"
#include "device/device_json.h"
#include "device/table.h"

static void test_round_trip(gconstpointer name)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpDevice) device = imp_device_lookup(name, NULL);
    device->access_port = 3; /* as a pack may say it */
    device->algorithms[device->n_algorithms - 1]->spared = TRUE;
    GPtrArray *blobs = NULL;
    json_t *object = imp_device_encode(device, &blobs);
    g_autoptr(ImpDevice) back = imp_device_decode(object, (GBytes *const *)blobs->pdata, blobs->len,
                                                  IMP_E_SCHEMA, IMP_E_UNSUPPORTED, &error);
    g_assert_no_error(error);
    json_t *again = imp_device_encode(back, NULL);
    g_autofree char *a = imp_json_text(object), *b = imp_json_text(again);
    g_assert_cmpstr(a, ==, b);
    g_assert_cmpuint(back->n_algorithms, ==, device->n_algorithms);
    for (gsize i = 0; i < back->n_algorithms; i++) {
        g_assert_true(g_bytes_equal(back->algorithms[i]->blob, device->algorithms[i]->blob));
        g_assert_cmpuint(back->algorithms[i]->erase_chip, ==, device->algorithms[i]->erase_chip);
        g_assert_cmpint(back->algorithms[i]->spared, ==, device->algorithms[i]->spared);
    }
    g_assert_cmpmem(back->locks, back->n_locks * sizeof *back->locks, device->locks,
                    device->n_locks * sizeof *device->locks);
    g_assert_cmpmem(back->unlock_writes, back->n_unlock_writes * sizeof *back->unlock_writes,
                    device->unlock_writes, device->n_unlock_writes * sizeof *device->unlock_writes);
    g_assert_cmpmem(back->launch_writes, back->n_launch_writes * sizeof *back->launch_writes,
                    device->launch_writes, device->n_launch_writes * sizeof *device->launch_writes);
    g_assert_cmpuint(back->access_port, ==, 3);
    g_assert_cmpint(back->unlock, ==, device->unlock);
    g_assert_cmpint(back->unlock_algorithm, ==, device->unlock_algorithm);
    g_assert_cmpuint(back->ctrl_ap_index, ==, device->ctrl_ap_index);
    for (gsize i = 0; i < back->n_locks; i++)
        g_assert_true(imp_device_lock_of(back, device->locks[i].level) == &back->locks[i]);
    g_assert_null(imp_device_lock_of(back, 0));
    json_decref(object);
    json_decref(again);
    g_ptr_array_unref(blobs);
}

/* Every row replaces the text from by to in the canonical text of the nRF51822. */
static const struct {
    const char *name, *from, *to, *reason;
    ImpErrorCode code;
} bad[] = {
    {"unknown-member", "\"core\":", "\"cord\":1,\"core\":", "cord", IMP_E_UNSUPPORTED},
    {"unknown-in-algorithm", "\"page_bytes\":1024,", "\"page_bytes\":1024,\"pages\":1,", "pages",
     IMP_E_UNSUPPORTED},
    {"missing", "\"core_hz\":16000000,", "", "'core_hz' is missing", IMP_E_SCHEMA},
    {"negative", "\"core_hz\":16000000", "\"core_hz\":-1", "'core_hz' is -1", IMP_E_SCHEMA},
    {"float", "\"core_hz\":16000000", "\"core_hz\":16e6", "'core_hz' must be an integer", IMP_E_SCHEMA},
    {"ram-past-end", "\"ram_bytes\":16384", "\"ram_bytes\":4000000000", "behind the address space",
     IMP_E_SCHEMA},
    {"uid-huge", "\"uid_bytes\":8", "\"uid_bytes\":1000", "'uid_bytes' is 1000", IMP_E_SCHEMA},
    {"entry-odd", "\"init\":0", "\"init\":1", "'init' is odd", IMP_E_SCHEMA},
    {"entry-outside", "\"init\":0", "\"init\":100000", "'init' is 100000", IMP_E_SCHEMA},
    {"blob-twice", "\"blob\":1", "\"blob\":0", "used twice", IMP_E_SCHEMA},
    {"blob-missing", "\"blob\":1", "\"blob\":2", "'blob' is 2", IMP_E_SCHEMA},
    {"access-port-0", "\"core_hz\":16000000", "\"access_port\":0,\"core_hz\":16000000", "'access_port' is 0",
     IMP_E_SCHEMA},
    {"access-port-256", "\"core_hz\":16000000", "\"access_port\":256,\"core_hz\":16000000",
     "'access_port' is 256", IMP_E_SCHEMA},
    {"spared-false", "\"page_bytes\":1024", "\"page_bytes\":1024,\"spared\":false",
     "left out where it is false", IMP_E_SCHEMA},
    {"spared-number", "\"page_bytes\":1024", "\"page_bytes\":1024,\"spared\":1", "'spared'", IMP_E_SCHEMA},
    {"page-zero", "\"page_bytes\":1024", "\"page_bytes\":0", "'page_bytes' is 0", IMP_E_SCHEMA},
    {"overlap", "\"start\":268439552", "\"start\":4096", "gap or an overlap", IMP_E_SCHEMA},
    {"sector-zero", "{\"size_bytes\":1024,", "{\"size_bytes\":0,", "'size_bytes' is 0", IMP_E_SCHEMA},
    {"sector-uneven", "{\"size_bytes\":1024,", "{\"size_bytes\":3000,", "do not end", IMP_E_SCHEMA},
    {"check-mask", "\"mask\":4279238640", "\"mask\":240", "outside the mask", IMP_E_SCHEMA},
    {"erase-all-uicr", "\"erase_all_algorithm\":0", "\"erase_all_algorithm\":1", "cannot erase the chip",
     IMP_E_SCHEMA},
    {"erase-all-none", "\"erase_all_algorithm\":0", "\"erase_all_algorithm\":2", "'erase_all_algorithm' is 2",
     IMP_E_SCHEMA},
    {"lock-nowhere", "\"address\":268439556,\"bytes\"", "\"address\":536870912,\"bytes\"",
     "no algorithm programs", IMP_E_SCHEMA},
    {"lock-length", "\"n_bytes\":4", "\"n_bytes\":5", "'bytes'", IMP_E_SCHEMA},
    {"lock-level", "\"level\":1", "\"level\":0", "'level' is 0", IMP_E_SCHEMA},
    {"open-mask", "\"mask\":65280", "\"mask\":255", "outside the mask", IMP_E_SCHEMA},
    {"unlock-word", "\"by\":\"writes\"", "\"by\":\"magic\"", "no word of this version", IMP_E_SCHEMA},
    {"unlock-other", "\"by\":\"writes\"", "\"by\":\"ctrl-ap\"", "'ap' is missing", IMP_E_SCHEMA},
    {"unlock-algorithm", "\"by\":\"writes\"", "\"algorithm\":1,\"by\":\"algorithm\"", "cannot erase the chip",
     IMP_E_SCHEMA},
    {"write-odd", "\"address\":1073865996", "\"address\":1073865997", "an address is odd", IMP_E_SCHEMA},
    {"wait-none", "\"ms\":500", "\"ms\":0", "'ms' is 0", IMP_E_SCHEMA},
    {"wait-mask", "\"mask\":1,\"ms\":500", "\"mask\":0,\"ms\":500", "outside the mask", IMP_E_SCHEMA},
    {"no-algorithms", "\"checks\":", "\"checks\":7,\"x\":", "'checks' must be", IMP_E_SCHEMA},
};

static void test_bad(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpDevice) device = imp_device_lookup("nRF51822", NULL);
    GPtrArray *blobs = NULL;
    json_t *object = imp_device_encode(device, &blobs);
    g_autofree char *text = imp_json_text(object);
    char *at = strstr(text, bad[i].from);
    g_assert_nonnull(at);
    g_autoptr(GString) changed = g_string_new_len(text, at - text);
    g_string_append_printf(changed, "%s%s", bad[i].to, at + strlen(bad[i].from));
    json_t *wrong = imp_json_parse(changed->str, changed->len, 1 << 20, "test", IMP_E_SYNTAX, &error);
    g_assert_no_error(error);
    g_assert_null(imp_device_decode(wrong, (GBytes *const *)blobs->pdata, blobs->len, IMP_E_SCHEMA,
                                    IMP_E_UNSUPPORTED, &error));
    g_assert_error(error, IMP_ERROR, (int)bad[i].code);
    if (strstr(error->message, bad[i].reason) == NULL)
        g_error("expected '%s' in: %s", bad[i].reason, error->message);
    json_decref(object);
    json_decref(wrong);
    g_ptr_array_unref(blobs);
}

static void test_blob_count(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpDevice) device = imp_device_lookup("nRF51822", NULL);
    GPtrArray *blobs = NULL;
    json_t *object = imp_device_encode(device, &blobs);
    g_assert_null(
        imp_device_decode(object, (GBytes *const *)blobs->pdata, 1, IMP_E_SCHEMA, IMP_E_SCHEMA, &error));
    g_assert_cmpstr(error->message, ==, "device: 2 algorithms, but 1 blobs");
    g_clear_error(&error);
    g_assert_null(imp_device_decode(object, NULL, 0, IMP_E_SCHEMA, IMP_E_SCHEMA, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_SCHEMA);
    json_decref(object);
    g_ptr_array_unref(blobs);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (const char *const *name = imp_device_names(); *name; name++) {
        g_autofree char *path = g_strdup_printf("/device/json/round-trip/%s", *name);
        g_test_add_data_func(path, *name, test_round_trip);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *path = g_strdup_printf("/device/json/bad/%s", bad[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_bad);
    }
    g_test_add_func("/device/json/blob-count", test_blob_count);
    return g_test_run();
}
