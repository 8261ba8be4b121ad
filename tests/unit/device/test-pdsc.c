/* What a description says of a device, by the rules of inheritance; and what is refused. */
#include "base/error.h"
#include "device/pdsc.h"

#include <string.h>

static const char head[] =
    "<?xml version='1.0' encoding='utf-8'?><package><vendor> Acme </vendor><name>T_DFP</name>"
    "<releases><release version='2.0.1'/><release version='1.0.0'/></releases><devices>";
static const char tail[] = "</devices></package>";

static ImpPdsc *parse(const char *families, GError **error)
{
    g_autofree char *text = g_strconcat(head, families, tail, NULL);
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));
    return imp_pdsc_parse(bytes, "t.pdsc", error);
}

static ImpPdscDevice *resolve(const ImpPdsc *pdsc, const char *name, const char *core)
{
    g_autoptr(GError) error = NULL;
    for (gsize i = 0; i < imp_pdsc_device_count(pdsc); i++)
        if (strcmp(imp_pdsc_device_name(pdsc, i), name) == 0) {
            ImpPdscDevice *device = imp_pdsc_resolve(pdsc, i, core, &error);
            g_assert_no_error(error);
            return device;
        }
    g_assert_not_reached();
}

static const ImpPdscMemory *memory(const ImpPdscDevice *device, guint i)
{
    g_assert_cmpuint(i, <, device->memories->len);
    return &g_array_index(device->memories, ImpPdscMemory, i);
}

static const ImpPdscAlgorithm *algorithm(const ImpPdscDevice *device, guint i)
{
    g_assert_cmpuint(i, <, device->algorithms->len);
    return &g_array_index(device->algorithms, ImpPdscAlgorithm, i);
}

static void test_package(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpPdsc) pdsc =
        parse("<family Dfamily='F' Dvendor='NXP:11'><device Dname='A1'><variant Dvariant='A1X'/>"
              "</device></family><family Dfamily='G' Dvendor='ST'><subFamily DsubFamily='S'>"
              "<device Dname='B/2'/></subFamily></family>",
              &error);
    g_assert_no_error(error);
    g_assert_cmpstr(imp_pdsc_vendor(pdsc), ==, "Acme");
    g_assert_cmpstr(imp_pdsc_name(pdsc), ==, "T_DFP");
    g_assert_cmpstr(imp_pdsc_version(pdsc), ==, "2.0.1");
    g_assert_cmpuint(imp_pdsc_device_count(pdsc), ==, 3);
    g_assert_cmpstr(imp_pdsc_device_name(pdsc, 1), ==, "A1X");
    g_assert_cmpstr(imp_pdsc_device_vendor(pdsc, 1), ==, "NXP");
    g_assert_cmpstr(imp_pdsc_device_name(pdsc, 2), ==, "B/2");
    g_assert_cmpstr(imp_pdsc_device_family(pdsc, 2), ==, "G");
}

static const char inherited[] =
    "<family Dfamily='F' Dvendor='V:1'><processor Dcore='Cortex-M4'/>"
    "<memory name='RAM' access='rwx' start='0x20000000' size='0x1000' default='1'/>"
    "<memory id='IROM1' start='0' size='1024'/>"
    "<algorithm name='f\\all.flm' start='0' size='0x100000' default='1'/>"
    "<algorithm name='f/opt.flm' start='0x1FFF0000' size='16' RAMstart='0x20000000' RAMsize='0x800'/>"
    "<algorithm name='f/all.mac' start='0' size='0x100000' style='IAR'/>"
    "<algorithm name='f/big.flm' start='0' size='16' endian='Big-endian'/>"
    "<subFamily DsubFamily='S'><processor Dclock='48000000'/><debug __dp='0' __ap='2'/>"
    "<memory name='RAM' size='0x2000'/>"
    "<device Dname='D'><algorithm name='f/small.flm' start='0' size='0x100000' default='true' style='CMSIS'/>"
    "<variant Dvariant='DV'><memory name='RAM' size='0x4000' default='0'/><debug "
    "__ap='3'/></variant></device>"
    "</subFamily><device Dname='E'><algorithm name='f/all.flm' start='0' size='0x8000'/></device></family>";

static void test_inheritance(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpPdsc) pdsc = parse(inherited, &error);
    g_assert_no_error(error);
    g_autoptr(ImpPdscDevice) d = resolve(pdsc, "D", NULL), dv = resolve(pdsc, "DV", NULL),
                             e = resolve(pdsc, "E", NULL);
    g_assert_cmpstr(d->core, ==, "Cortex-M4");
    g_assert_cmpuint(d->clock_hz, ==, 48000000);
    g_assert_cmpuint(e->clock_hz, ==, 0);
    g_assert_cmpuint(d->access_port, ==, 2);
    g_assert_cmpuint(dv->access_port, ==, 3);
    g_assert_cmpuint(e->access_port, ==, 0);
    /* the inner memory of the same name changes what it names, no more */
    g_assert_cmpuint(memory(d, 0)->start, ==, 0x20000000);
    g_assert_cmpuint(memory(d, 0)->size_bytes, ==, 0x2000);
    g_assert_cmpuint(memory(dv, 0)->size_bytes, ==, 0x4000);
    g_assert_true(memory(d, 0)->writable && memory(d, 0)->is_default && !memory(dv, 0)->is_default);
    g_assert_true(memory(d, 1)->executable && !memory(d, 1)->writable); /* by its id */
    g_assert_cmpuint(memory(d, 1)->size_bytes, ==, 1024);
    /* the inner algorithm of the same range goes before the outer; other styles are none of ours */
    g_assert_cmpuint(d->algorithms->len, ==, 2);
    g_assert_cmpstr(algorithm(d, 0)->file, ==, "f/small.flm");
    g_assert_true(algorithm(d, 0)->is_default && algorithm(d, 0)->level == 2 && !algorithm(d, 0)->has_ram);
    g_assert_cmpstr(algorithm(d, 1)->file, ==, "f/opt.flm");
    g_assert_cmpuint(algorithm(d, 1)->ram_bytes, ==, 0x800);
    /* and so does the same file with another size */
    g_assert_cmpuint(e->algorithms->len, ==, 2);
    g_assert_cmpuint(algorithm(e, 0)->size_bytes, ==, 0x8000);
    g_autoptr(GPtrArray) files = imp_pdsc_algorithm_files(pdsc, &error);
    g_assert_cmpuint(files->len, ==, 3);
    g_assert_cmpstr(files->pdata[0], ==, "f/all.flm");
}

static const char cores[] =
    "<family Dfamily='F' Dvendor='V:1'><processor Dcore='Cortex-M0' Dclock='1000'/>"
    "<device Dname='TWO'><processor Pname='A' Dclock='2000'/><processor Pname='B' Dcore='Cortex-M4'/>"
    "<accessportV1 __apid='4' __dp='0' index='1'/><accessportV2 __apid='5' __dp='0' address='0x80000'/>"
    "<debug Pname='A' __apid='4'/><debug Pname='B' __apid='5'/>"
    "<memory Pname='A' name='R' access='rwx' start='0x1000' size='16'/><memory name='S' access='r' start='0' "
    "size='4'/>"
    "<algorithm Pname='B' name='b.flm' start='0' size='4'/></device>"
    "<device Dname='BIG'><processor Pname='A7' Dcore='Cortex-A7'/><processor Pname='M4' "
    "Dcore='Cortex-M4'/></device>"
    "</family><family Dfamily='G' Dvendor='V:1'><device Dname='NONE'/></family>";

static void test_cores(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpPdsc) pdsc = parse(cores, &error);
    g_assert_no_error(error);
    g_autoptr(ImpPdscDevice) a = resolve(pdsc, "TWO", "a"), b = resolve(pdsc, "TWO", "B"),
                             big = resolve(pdsc, "BIG", NULL);
    g_assert_cmpstr(a->core, ==, "Cortex-M0"); /* of the family, added up */
    g_assert_cmpuint(a->clock_hz, ==, 2000);
    g_assert_cmpuint(b->clock_hz, ==, 1000);
    g_assert_cmpstr(b->core, ==, "Cortex-M4");
    g_assert_true(a->memories->len == 2 && b->memories->len == 1 && a->algorithms->len == 0 &&
                  b->algorithms->len == 1);
    g_assert_true(a->access_port == 1 && !a->adiv6 && b->adiv6);
    g_assert_cmpstr(big->pname, ==, "M4"); /* the only one that can be programmed */
    g_assert_null(imp_pdsc_resolve(pdsc, 0, NULL, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_DEVICE_AMBIGUOUS);
    g_assert_cmpstr(error->message, ==, "TWO has the cores A and B: write TWO:B, for one of them");
    g_clear_error(&error);
    g_assert_null(imp_pdsc_resolve(pdsc, 0, "C", &error));
    g_assert_error(error, IMP_ERROR, IMP_E_DEVICE_UNKNOWN);
    g_clear_error(&error);
    g_assert_null(imp_pdsc_resolve(pdsc, 2, NULL, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_PACK_FILE);
}

static const struct {
    const char *name, *families, *reason;
} bad[] = {
    {"nothing", "", "describes no device"},
    {"nameless", "<family><device/></family>", "a device has no usable name"},
    {"name", "<family><device Dname='a b'/></family>", "a device has no usable name"},
    {"open", "<family>", "not readable as XML"},
    {"entity", "<family><device Dname='&x;'/></family>", "not readable as XML"},
    {"long", "<family Dfamily='%LONG%'/>", "is longer than 512 bytes"},
    {"doctype", "<!DOCTYPE a>", "document type"},
};

static void test_bad(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    g_autofree char *long_text = g_strnfill(600, 'x');
    g_auto(GStrv) parts = g_strsplit(bad[i].families, "%LONG%", -1);
    g_autofree char *families = g_strjoinv(long_text, parts);
    g_assert_null(parse(families, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_PACK_FILE);
    g_assert_nonnull(strstr(error->message, bad[i].reason));
    g_assert_true(g_str_has_prefix(error->message, "t.pdsc:1: "));
}

/* What is wrong with one device is said of that device; the others can be used. */
static void test_bad_device(void)
{
    static const char *const devices[] = {
        "<memory name='r' start='x' size='1'/>",
        "<algorithm name='a.flm' start='-1' size='4'/>",
        "<algorithm start='1' size='4'/>",
        "<algorithm name='/a.flm' start='1' size='4'/>",
        "<algorithm name='a/../../b.flm'/>",
        "<algorithm name='C:a.flm'/>",
        "<debug __ap='zero'/>",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(devices); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *families =
            g_strdup_printf("<family Dfamily='F'><processor Dcore='Cortex-M3'/><device Dname='X'>%s</device>"
                            "<device Dname='Y'/></family>",
                            devices[i]);
        g_autoptr(ImpPdsc) pdsc = parse(families, &error);
        g_assert_no_error(error);
        g_assert_null(imp_pdsc_resolve(pdsc, 0, NULL, &error));
        g_assert_error(error, IMP_ERROR, IMP_E_PACK_FILE);
        g_assert_true(g_str_has_prefix(error->message, "t.pdsc:1: X: "));
        g_autoptr(ImpPdscDevice) good = resolve(pdsc, "Y", NULL);
    }
}

/* Huge counts end at the limits, not in memory. */
static void test_many(void)
{
    g_autoptr(GString) text = g_string_new("<family Dfamily='F'>");
    for (guint i = 0; i <= IMP_PDSC_DEVICES_MAX; i++)
        g_string_append_printf(text, "<device Dname='D%u'/>", i);
    g_string_append(text, "</family>");
    g_autoptr(GError) error = NULL;
    g_assert_null(parse(text->str, &error));
    g_assert_nonnull(strstr(error->message, "more than 20000 devices"));
    g_clear_error(&error);
    g_string_assign(text, "<family Dfamily='F'><device Dname='X'>");
    for (guint i = 0; i <= IMP_PDSC_PROPERTIES_MAX; i++)
        g_string_append(text, "<memory/>");
    g_string_append(text, "</device></family>");
    g_assert_null(parse(text->str, &error));
    g_assert_nonnull(strstr(error->message, "more than 200000 elements"));
    g_clear_error(&error);
    g_string_assign(text, "<family Dfamily='F'><processor Dcore='Cortex-M3'/><device Dname='X'>");
    for (guint i = 0; i <= IMP_PDSC_OF_DEVICE_MAX; i++)
        g_string_append_printf(text, "<memory name='m%u' start='0' size='1'/>", i);
    g_string_append(text, "</device></family>");
    g_autoptr(ImpPdsc) pdsc = parse(text->str, &error);
    g_assert_no_error(error);
    g_assert_null(imp_pdsc_resolve(pdsc, 0, NULL, &error));
    g_assert_nonnull(strstr(error->message, "more than 64 memories"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/device/pdsc/package", test_package);
    g_test_add_func("/device/pdsc/inheritance", test_inheritance);
    g_test_add_func("/device/pdsc/cores", test_cores);
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *path = g_strdup_printf("/device/pdsc/bad/%s", bad[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_bad);
    }
    g_test_add_func("/device/pdsc/bad-device", test_bad_device);
    g_test_add_func("/device/pdsc/many", test_many);
    return g_test_run();
}
