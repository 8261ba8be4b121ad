/* The list of probes from what sysfs says, and what a probe says of itself. */
#include "base/error.h"
#include "target/probe_info.h"
#include "target/probe_list.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define NOBODY 65534

/* USB 2.0, 9.6: only what is looked at differs from row to row */
#define DEVICE                   18, 1, 0, 2, 0, 0, 0, 64, 0x28, 0x0d, 0x04, 0x02, 0, 1, 1, 2, 3, 1
#define CONFIG                   9, 2, 32, 0, 1, 1, 0, 0x80, 50
#define INTERFACE(number, class) 9, 4, number, 0, 2, class, 0, 0, 4
#define ENDPOINT(address, type)  7, 5, address, type, 0, 2, 0
#define BULK_PAIR                ENDPOINT(0x01, 2), ENDPOINT(0x82, 2)
#define INTERRUPT_PAIR           ENDPOINT(0x01, 3), ENDPOINT(0x82, 3)

typedef struct {
    const char *name; /* "1-1" */
    const char *product, *serial;
    const char *interface_dir, *interface; /* NULL = no such folder */
    guint8 descriptors[128];
    gboolean bulk, hid; /* what must be found; neither: it is no probe */
} Row;

static const Row rows[] = {
    {"1-1", "Acme CMSIS-DAP", "B", NULL, NULL, {DEVICE, CONFIG, INTERFACE(0, 0xFF), BULK_PAIR}, TRUE, FALSE},
    {"1-2.3",
     "Acme",
     "A",
     "1-2.3:1.0",
     "CMSIS-DAP v2",
     {DEVICE, CONFIG, INTERFACE(0, 0xFF), BULK_PAIR},
     TRUE,
     FALSE},
    {"2-1",
     "Acme CMSIS-DAP",
     "C",
     NULL,
     NULL,
     {DEVICE, CONFIG, INTERFACE(0, 3), INTERRUPT_PAIR},
     FALSE,
     TRUE},
    {"2-2",
     "CMSIS-DAP",
     "D",
     NULL,
     NULL,
     {DEVICE, CONFIG, INTERFACE(0, 3), INTERRUPT_PAIR, INTERFACE(1, 0xFF), BULK_PAIR},
     TRUE,
     TRUE},
    {"2-3", "Printer", "E", NULL, NULL, {DEVICE, CONFIG, INTERFACE(0, 0xFF), BULK_PAIR}, FALSE, FALSE},
    {"2-4", "CMSIS-DAP disk", "F", NULL, NULL, {DEVICE, CONFIG, INTERFACE(0, 8), BULK_PAIR}, FALSE, FALSE},
    {"2-5", "CMSIS-DAP", "G", NULL, NULL, {DEVICE, CONFIG, INTERFACE(0, 0xFF), INTERRUPT_PAIR}, FALSE, FALSE},
    /* IN comes first; only one endpoint; an endpoint that is cut off; a length of 0 */
    {"2-6",
     "CMSIS-DAP",
     "H",
     NULL,
     NULL,
     {DEVICE, CONFIG, INTERFACE(0, 0xFF), ENDPOINT(0x82, 2), ENDPOINT(0x01, 2)},
     FALSE,
     FALSE},
    {"2-7",
     "CMSIS-DAP",
     "I",
     NULL,
     NULL,
     {DEVICE, CONFIG, INTERFACE(0, 0xFF), ENDPOINT(0x01, 2), INTERFACE(1, 0xFF)},
     FALSE,
     FALSE},
    {"2-8",
     "CMSIS-DAP",
     "J",
     NULL,
     NULL,
     {DEVICE, CONFIG, INTERFACE(0, 0xFF), ENDPOINT(0x01, 2), 200, 5, 0x82, 2},
     FALSE,
     FALSE},
    {"2-9", "CMSIS-DAP", "K", NULL, NULL, {DEVICE, CONFIG, 0, 4}, FALSE, FALSE},
};

static void put(const char *dir, const char *name, const void *bytes, gssize n_bytes)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autoptr(GError) error = NULL;
    g_file_set_contents(path, bytes, n_bytes, &error);
    g_assert_no_error(error);
    g_assert_cmpint(g_chmod(path, 0644), ==, 0);
}

static char *folder(const char *parent, const char *name)
{
    char *path = g_build_filename(parent, name, NULL);
    g_assert_cmpint(g_mkdir_with_parents(path, 0755), ==, 0);
    return path;
}

static void put_device(const char *sysfs, const Row *row, guint number)
{
    g_autofree char *dir = folder(sysfs, row->name);
    g_autofree char *address = g_strdup_printf("%u\n", number);
    g_autofree char *product = g_strconcat(row->product, "\n", NULL);
    put(dir, "product", product, -1);
    put(dir, "serial", row->serial, -1);
    put(dir, "manufacturer", "Acme\xFF\n", -1);
    put(dir, "idVendor", "0d28\n", -1);
    put(dir, "idProduct", "0204\n", -1);
    put(dir, "busnum", "1\n", -1);
    put(dir, "devnum", address, -1);
    put(dir, "bConfigurationValue", "1\n", -1);
    put(dir, "descriptors", row->descriptors, sizeof row->descriptors);
    if (row->interface_dir == NULL)
        return;
    g_autofree char *interface = folder(sysfs, row->interface_dir);
    put(interface, "interface", row->interface, -1);
}

static void remove_all(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        remove_all(child);
    }
    (void)g_remove(path);
}

static const ImpProbeSeen *find(const GPtrArray *list, const char *path)
{
    for (guint i = 0; i < list->len; i++)
        if (strcmp(((const ImpProbeSeen *)list->pdata[i])->path, path) == 0)
            return list->pdata[i];
    return NULL;
}

static void test_list(void)
{
    g_autofree char *dir = g_dir_make_tmp("imprint-probes-XXXXXX", NULL);
    g_assert_cmpint(g_chmod(dir, 0755), ==, 0);
    g_autofree char *sysfs = folder(dir, "sys");
    g_autofree char *nodes = folder(dir, "dev");
    g_autofree char *bus = folder(nodes, "001");
    guint expected = 0;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        put_device(sysfs, &rows[i], i);
        expected += rows[i].bulk || rows[i].hid;
    }
    put(bus, "000", "", 0); /* 1-1: nobody but root may open it */
    g_autofree char *closed = g_build_filename(bus, "000", NULL);
    g_assert_cmpint(g_chmod(closed, 0600), ==, 0);
    put(bus, "001", "", 0); /* 1-2.3: everybody may */
    g_autofree char *open_node = g_build_filename(bus, "001", NULL);
    g_assert_cmpint(g_chmod(open_node, 0666), ==, 0);
    gboolean root = getuid() == 0;
    if (!root) /* the owner may not either */
        g_assert_cmpint(g_chmod(closed, 0), ==, 0);
    else
        g_assert_cmpint(setresuid(NOBODY, NOBODY, 0), ==, 0);
    g_autoptr(GPtrArray) list = imp_probe_list_seen(sysfs, nodes);
    if (root)
        g_assert_cmpint(setresuid(0, 0, 0), ==, 0);
    g_assert_cmpuint(list->len, ==, expected);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const ImpProbeSeen *seen = find(list, rows[i].name);
        g_test_message("%s", rows[i].name);
        g_assert_cmpint(seen != NULL, ==, rows[i].bulk || rows[i].hid);
        if (seen == NULL)
            continue;
        g_assert_cmpint(seen->has_bulk, ==, rows[i].bulk);
        g_assert_cmpint(seen->has_hid, ==, rows[i].hid);
        g_assert_cmpstr(seen->product, ==, rows[i].product);
        g_assert_cmpstr(seen->serial, ==, rows[i].serial);
        g_assert_true(g_utf8_validate(seen->vendor, -1, NULL));
        g_assert_cmpuint(seen->vendor_id, ==, 0x0d28);
        g_assert_cmpuint(seen->product_id, ==, 0x0204);
        g_assert_cmpint(seen->access, ==,
                        i == 0   ? IMP_PROBE_ACCESS_DENIED
                        : i == 1 ? IMP_PROBE_ACCESS_GOOD
                                 : IMP_PROBE_ACCESS_NO_NODE);
    }
    g_assert_cmpstr(((ImpProbeSeen *)list->pdata[0])->serial, ==, "A"); /* sorted */
    g_autofree char *rule = imp_probe_udev_rule(list->pdata[0]);
    g_assert_nonnull(strstr(rule, "ATTR{idVendor}==\"0d28\", ATTR{idProduct}==\"0204\""));
    remove_all(dir);
    g_autoptr(GPtrArray) none = imp_probe_list_seen(sysfs, nodes);
    g_assert_cmpuint(none->len, ==, 0);
}

/* A probe whose answers to DAP_Info are the test's. */
typedef struct {
    ImpProbe probe;
    guint8 asked;
    const guint8 *answer; /* to every question */
    gsize n_answer;
} Liar;

static gboolean liar_submit(ImpProbe *self, const guint8 *request, gsize n_bytes, GError **error)
{
    (void)error;
    g_assert_cmpuint(n_bytes, ==, 2);
    ((Liar *)self)->asked = request[1];
    return TRUE;
}

static gboolean liar_collect(ImpProbe *self, guint8 *response, gsize cap, gsize *out_bytes, guint timeout_ms,
                             GError **error)
{
    Liar *liar = (Liar *)self;
    (void)timeout_ms;
    (void)error;
    g_assert_cmpuint(liar->n_answer, <=, cap);
    memcpy(response, liar->answer, liar->n_answer);
    *out_bytes = liar->n_answer;
    return TRUE;
}

static void liar_close(ImpProbe *self)
{
    (void)self;
}

static void test_info_malformed(void)
{
    static const ImpProbeOps ops = {liar_submit, liar_collect, liar_close};
    guint8 full[2 + 255];
    memset(full, 0xFF, sizeof full); /* bytes that are no UTF-8 grow threefold when they are made so */
    full[0] = 0;
    static const guint8 short_one[] = {0}, cut[] = {0, 4, 'a'}, other[] = {1, 0}, empty[] = {0, 0};
    const struct {
        const guint8 *answer;
        gsize n_answer;
        gboolean good;
    } answers[] = {
        {short_one, 1, FALSE}, {cut, 3, FALSE},           {other, 2, FALSE},
        {empty, 2, TRUE},      {full, sizeof full, TRUE}, {full, 0, FALSE},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(answers); i++) {
        Liar liar = {.probe = {.ops = &ops, .name = "liar"},
                     .answer = answers[i].answer,
                     .n_answer = answers[i].n_answer};
        ImpProbeInfo info;
        g_autoptr(GError) error = NULL;
        g_test_message("answer %zu", i);
        g_assert_cmpint(imp_probe_ask_info(&liar.probe, &info, &error), ==, answers[i].good);
        if (answers[i].good) {
            g_assert_no_error(error);
            g_assert_true(g_utf8_validate(info.vendor, -1, NULL));
        } else {
            g_assert_error(error, IMP_ERROR, IMP_E_PROBE_PROTOCOL);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/target/probes/list", test_list);
    g_test_add_func("/target/probes/info-malformed", test_info_malformed);
    return g_test_run();
}
