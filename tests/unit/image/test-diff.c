/* What differs between objects and images, in words; and that every member of a content has words. */
#include <string.h>

#include "base/json.h"
#include "fixture.h"
#include "image/diff.h"

static GBytes *encode(ImpObject *object)
{
    GError *error = NULL;
    GBytes *file = imp_object_encode(object, &error);
    g_assert_no_error(error);
    return file;
}

static ImpObject *object_of(ImpContent *content)
{
    GError *error = NULL;
    ImpObject *object = imp_object_new(content, NULL, 0, &error);
    g_assert_no_error(error);
    return object;
}

static void assert_diff(GBytes *a, GBytes *b, const ImpKeyRing *keys, const char *const *expected)
{
    GError *error = NULL;
    g_autoptr(GPtrArray) lines = imp_diff(a, b, keys, NULL, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < lines->len; i++)
        g_test_message("%s", (const char *)lines->pdata[i]);
    gsize n = 0;
    for (; expected[n] != NULL; n++) {
        gboolean found = FALSE;
        for (guint i = 0; i < lines->len; i++)
            found |= strstr(lines->pdata[i], expected[n]) != NULL;
        if (!found)
            g_error("no line with '%s'", expected[n]);
    }
    g_assert_cmpuint(lines->len, ==, n);
}

static void test_same(void)
{
    g_autoptr(ImpObject) a = object_of(fixture_everything());
    g_autoptr(ImpObject) b = object_of(fixture_everything());
    g_autoptr(GBytes) file_a = encode(a);
    g_autoptr(GBytes) file_b = encode(b);
    assert_diff(file_a, file_b, NULL, (const char *[]){NULL});
}

static void test_words(void)
{
    ImpContent *changed = fixture_everything();
    g_autoptr(ImpObject) a = object_of(fixture_everything());
    g_free(changed->version);
    changed->version = g_strdup("2.0");
    changed->swd_hz = 500000;
    changed->power.millivolts = 5000;
    changed->unlock = IMP_UNLOCK_NEVER;
    changed->steps[2].erase = IMP_ERASE_USED;
    changed->steps[9].delay_ms = 8;
    changed->values[1].log = FALSE;
    changed->rework = IMP_REWORK_NEW_VALUES;
    changed->places[0].pad = 0xff;
    gsize n;
    const guint8 *bytes = g_bytes_get_data(changed->segments[0].bytes, &n);
    guint8 *copy = g_memdup2(bytes, n);
    copy[4] ^= 1;
    copy[5] ^= 1;
    copy[100] ^= 1;
    g_bytes_unref(changed->segments[0].bytes);
    changed->segments[0].bytes = g_bytes_new_take(copy, n - 10);
    g_bytes_unref(changed->tests[0].segments[0].bytes);
    changed->tests[0].segments[0].bytes = g_bytes_new_static("\xfd\xe7\0\0", 4);
    g_autoptr(ImpObject) b = object_of(changed);
    g_autoptr(GBytes) file_a = encode(a);
    g_autoptr(GBytes) file_b = encode(b);
    assert_diff(file_a, file_b, NULL,
                (const char *[]){
                    "name: was Blinky 1.0, is Blinky 2.0",
                    "connection: was ",
                    "power: was 3300 mV",
                    "step 3: only the first has 'erase all'",
                    "step 3: only the second has 'erase used'",
                    "step 10: only the first has 'delay 7 ms'",
                    "step 10: only the second has 'delay 8 ms'",
                    "value: was uid, read from 0x10000060, 8 bytes, logged, is uid",
                    "rework: was refuse, is new-values",
                    "filled with 0xFF",
                    "data: was app",
                    "2 bytes: was ",
                    "1 bytes: was ",
                    "memory: only the first has ",
                    "test rtc: another program",
                    NULL,
                });
}

/* A step more in the middle is one line, not one for every step behind it. */
static void test_step_more(void)
{
    ImpContent *longer = fixture_everything();
    longer->steps = g_renew(ImpStep, longer->steps, longer->n_steps + 1);
    memmove(longer->steps + 3, longer->steps + 2, (longer->n_steps - 2) * sizeof *longer->steps);
    longer->steps[2] = (ImpStep){.kind = IMP_STEP_DELAY, .delay_ms = 99};
    longer->n_steps++;
    g_autoptr(ImpObject) a = object_of(fixture_everything());
    g_autoptr(ImpObject) b = object_of(longer);
    g_autoptr(GBytes) file_a = encode(a);
    g_autoptr(GBytes) file_b = encode(b);
    assert_diff(file_a, file_b, NULL, (const char *[]){"step 3: only the second has 'delay 99 ms'", NULL});
    assert_diff(file_b, file_a, NULL, (const char *[]){"step 3: only the first has 'delay 99 ms'", NULL});
}

static void test_images(void)
{
    g_autoptr(Keys) keys = keys_new();
    g_autoptr(ImpObject) object = fixture_object(300);
    g_autoptr(ImpSealed) plain = fixture_seal(object, keys, FIXTURE_SAP);
    g_autoptr(ImpSealed) again = fixture_seal(object, keys, FIXTURE_SAP);
    g_autoptr(ImpSealed) job = fixture_seal(object, keys, FIXTURE_JOB_ENCRYPTED);
    g_autoptr(ImpSealed) other = fixture_seal(object, keys, FIXTURE_JOB_ENCRYPTED);
    g_autoptr(ImpSealed) released = fixture_seal(object, keys, FIXTURE_JOB_RELEASED);
    g_autoptr(GBytes) file = encode(object);
    assert_diff(plain->file, again->file, NULL, (const char *[]){NULL});
    assert_diff(job->file, other->file, keys->image_keys, (const char *[]){NULL});
    assert_diff(file, plain->file, NULL,
                (const char *[]){"the first is an object, the second an image", NULL});
    assert_diff(plain->file, job->file, keys->image_keys,
                (const char *[]){"kind: was sap, is job", "image key: was none, is ",
                                 "factory: was none, is Shenzhen", "cloud: another one",
                                 "numbers: only the first has ", NULL});
    assert_diff(job->file, other->file, NULL, (const char *[]){"its content is not compared", NULL});
    assert_diff(
        job->file, released->file, keys->image_keys,
        (const char *[]){"released by: was its key, is its cloud", "its bytes are not compared", NULL});
    /* A damaged one is no difference, but an error. */
    GError *error = NULL;
    g_autoptr(GBytes) cut = g_bytes_new_from_bytes(job->file, 0, 100);
    g_assert_null(imp_diff(plain->file, cut, NULL, NULL, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_IMAGE_TRUNCATED);
    g_assert_nonnull(strstr(error->message, "the second file"));
    g_clear_error(&error);
}

/* Nothing of a content is without words: each member that can be changed changes the text, or is an index. */
static void test_all_said(void)
{
    g_autoptr(ImpObject) object = object_of(fixture_everything());
    json_auto_t *content = imp_content_inspect(object->content);
    g_autofree char *text = imp_content_text(content);
    static const char *const said[] = {
        "Blinky 1.0",
        "nRF51822_xxAA",
        "unlock by erase",
        "3300 mV, at least 3150 mV, at most 3450 mV, 20 ms after",
        "off at the end",
        "sn, {",
        "serial, a number of pool sn, logged",
        "filled with 0x00",
        "rtc, starts at 0x20000400",
        "blank-check used",
        "erase all",
        "write 1234 at 0x20000010",
        "test rtc serial within 5000 ms",
        "label, scanned from a label like T2[0-9]{8}, logged",
        "trim, block cal of a test, 4 bytes",
        "lot, given with the launch, 1 to 8 bytes, logged, its bytes kept out",
        "last byte first",
        "over data",
        "expect 0x20000010 & 0x00ff is 0x0010 to 0x0020",
        "program",
        "verify checksum",
        "read",
        "power cycle",
        "delay 7 ms",
        "reset",
        "protect level 1",
        "run until 'ready' within 2000 ms",
        "finally        power off",
        "rework         refuse",
    };
    g_test_message("%s", text);
    for (gsize i = 0; i < G_N_ELEMENTS(said); i++)
        if (strstr(text, said[i]) == NULL)
            g_error("not said: %s", said[i]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/diff/same", test_same);
    g_test_add_func("/diff/words", test_words);
    g_test_add_func("/diff/step-more", test_step_more);
    g_test_add_func("/diff/images", test_images);
    g_test_add_func("/diff/all-said", test_all_said);
    return g_test_run();
}
