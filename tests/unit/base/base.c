/* base: error registry and detail, ids, hexadecimal, the bounded queue. */
#include "base/error.h"
#include "base/id.h"
#include "base/queue.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>

static void test_registry(void)
{
    for (gsize i = 0; i < imp_error_entry_count; i++) {
        const ImpErrorEntry *entry = &imp_error_entries[i];
        g_assert_true(imp_error_entry(entry->code) == entry);
        g_assert_nonnull(imp_disposition_name(entry->disposition));
        if (i > 0)
            g_assert_cmpint(entry->code, >, imp_error_entries[i - 1].code);
    }
    g_assert_null(imp_error_entry(0));
    g_assert_cmpstr(imp_error_entry(IMP_E_FLASH_MISMATCH)->name, ==, "flash-mismatch");
    g_assert_cmpint(IMP_E_FLASH_MISMATCH, ==, 2107);
}

static void test_detail(void)
{
    g_autoptr(GError) error = NULL;
    guint8 many[IMP_ERROR_BYTES_MAX + 4] = {1, 2, 3};
    imp_error_set_at(&error, IMP_E_FLASH_MISMATCH, 0x800A400, many, NULL, sizeof many, "differs at %d", 7);
    imp_error_set_step(&error, "verify");
    imp_error_set_step(&error, "program"); /* the innermost step stands */
    g_autoptr(GError) copy = g_error_copy(error);
    const ImpErrorDetail *detail = imp_error_detail(copy);
    g_assert_cmpstr(copy->message, ==, "differs at 7");
    g_assert_true(detail->has_address);
    g_assert_cmpuint(detail->address, ==, 0x800A400);
    g_assert_cmpuint(detail->expected_bytes, ==, IMP_ERROR_BYTES_MAX);
    g_assert_cmpuint(detail->found_bytes, ==, 0);
    g_assert_cmpmem(detail->expected, 3, many, 3);
    g_assert_cmpstr(detail->step, ==, "verify");
    g_assert_cmpint(imp_error_code(copy), ==, IMP_E_FLASH_MISMATCH);

    g_autoptr(GError) foreign = g_error_new(G_FILE_ERROR, G_FILE_ERROR_IO, "x");
    g_assert_null(imp_error_detail(foreign));
    g_assert_cmpint(imp_error_code(foreign), ==, IMP_E_BUG);
    imp_error_set(NULL, IMP_E_IO, "nobody listens");
}

static void test_ids(void)
{
    char text[IMP_ID_TEXT_SIZE];
    ImpId a = imp_id_ordered(imp_clock_system(), imp_random_system()), b;
    g_assert_true(imp_id_parse(imp_id_text(&a, text), &b));
    g_assert_true(imp_id_equal(&a, &b));
    g_assert_cmpint(a.bytes[6] >> 4, ==, 7); /* RFC 9562: version 7 */
    g_assert_cmpint(a.bytes[8] >> 6, ==, 2); /* RFC 9562: variant */
    static const char *const bad[] = {"",
                                      "0",
                                      "0123456789abcdef0123456789abcde",
                                      "0123456789abcdef0123456789abcdef0",
                                      "0123456789ABCDEF0123456789abcdef",
                                      "0123456789abcdef0123456789abcdeg"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_false(imp_id_parse(bad[i], &b));
    g_assert_false(imp_id_is_zero(&a));
    memset(&b, 0, sizeof b);
    g_assert_true(imp_id_is_zero(&b));
}

/* What a person can correct is not the machine's trouble. */
static void test_of_files(void)
{
    static const struct {
        int number;
        ImpErrorCode code;
    } rows[] = {
        {ENOENT, IMP_E_NOT_FOUND}, {ENOTDIR, IMP_E_NOT_FOUND}, {EACCES, IMP_E_NO_ACCESS},
        {EISDIR, IMP_E_NO_ACCESS}, {EROFS, IMP_E_NO_ACCESS},   {ENOSPC, IMP_E_IO},
        {EIO, IMP_E_IO},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_cmpint(imp_error_code_of_errno(rows[i].number), ==, rows[i].code);
        g_autoptr(GError) error =
            g_error_new_literal(G_FILE_ERROR, g_file_error_from_errno(rows[i].number), "as GLib says it");
        g_assert_cmpint(imp_error_code_of_file(error), ==, rows[i].code);
    }
}

static void test_ids_are_ordered(void)
{
    gint64 before = imp_clock_real_us(imp_clock_system()) / 1000;
    ImpId id = imp_id_ordered(imp_clock_system(), imp_random_system());
    gint64 after = imp_clock_real_us(imp_clock_system()) / 1000, ms = 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id.bytes[i];
    g_assert_cmpint(ms, >=, before);
    g_assert_cmpint(ms, <=, after);
}

static void test_hex(void)
{
    guint8 out[4];
    g_assert_cmpint(imp_hex_decode("00Ff10", out, sizeof out), ==, 3);
    g_assert_cmpmem(out, 3, "\x00\xff\x10", 3);
    g_assert_cmpint(imp_hex_decode("", out, sizeof out), ==, 0);
    g_assert_cmpint(imp_hex_decode("0", out, sizeof out), ==, -1);
    g_assert_cmpint(imp_hex_decode("0x", out, sizeof out), ==, -1);
    g_assert_cmpint(imp_hex_decode("0001020304", out, sizeof out), ==, -1);
    g_autofree char *text = imp_hex_encode(out, 3);
    g_assert_cmpstr(text, ==, "00ff10");
}

static void test_queue_is_bounded(void)
{
    g_autoptr(ImpQueue) queue = imp_queue_new(2, g_free);
    struct pollfd fd = {.fd = imp_queue_fd(queue), .events = POLLIN};
    g_assert_cmpint(poll(&fd, 1, 0), ==, 0);
    g_assert_true(imp_queue_push(queue, g_strdup("a")));
    g_assert_true(imp_queue_push(queue, g_strdup("b")));
    g_autofree char *third = g_strdup("c");
    g_assert_false(imp_queue_push(queue, third));
    g_assert_cmpint(poll(&fd, 1, 0), ==, 1);
    g_autofree char *a = imp_queue_try_pop(queue);
    g_assert_cmpstr(a, ==, "a");
    g_assert_cmpint(poll(&fd, 1, 0), ==, 1);
    g_autofree char *b = imp_queue_pop(queue);
    g_assert_cmpstr(b, ==, "b");
    g_assert_null(imp_queue_try_pop(queue));
    g_assert_cmpint(poll(&fd, 1, 0), ==, 0);
    g_assert_true(imp_queue_push(queue, g_strdup("left"))); /* freed with the queue */
    imp_queue_close(queue);
    g_assert_false(imp_queue_push(queue, third));
}

#define ITEMS 20000

static void *produce(void *data)
{
    ImpQueue *queue = data;
    for (guint i = 1; i <= ITEMS;)
        if (imp_queue_push(queue, GUINT_TO_POINTER(i)))
            i++;
    imp_queue_close(queue);
    return NULL;
}

static void test_queue_between_threads(void)
{
    g_autoptr(ImpQueue) queue = imp_queue_new(16, NULL);
    pthread_t thread;
    g_assert_cmpint(pthread_create(&thread, NULL, produce, queue), ==, 0);
    gpointer item;
    guint expected = 1;
    while ((item = imp_queue_pop(queue)) != NULL)
        g_assert_cmpuint(GPOINTER_TO_UINT(item), ==, expected++);
    g_assert_cmpuint(expected, ==, ITEMS + 1);
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/error/registry", test_registry);
    g_test_add_func("/error/detail", test_detail);
    g_test_add_func("/error/of-files", test_of_files);
    g_test_add_func("/id/text", test_ids);
    g_test_add_func("/id/ordered", test_ids_are_ordered);
    g_test_add_func("/id/hex", test_hex);
    g_test_add_func("/queue/bounded", test_queue_is_bounded);
    g_test_add_func("/queue/threads", test_queue_between_threads);
    return g_test_run();
}
