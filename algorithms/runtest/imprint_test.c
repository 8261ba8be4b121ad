#include "imprint_test.h"

/* In a section of its own, so that a linker script can give it a fixed place. */
__attribute__((section(".imprint_mailbox"), used)) volatile struct imprint_mailbox imprint_mailbox;

/* Orders what the debugger sees: the data before the count. DMB exists on every Cortex-M. */
static void barrier(void)
{
    __asm__ volatile("dmb" ::: "memory");
}

static int is_free(void)
{
    return imprint_mailbox.posted == imprint_mailbox.answered;
}

static void wait_free(void)
{
    while (!is_free())
        ;
}

static void post(enum imprint_kind kind, uint32_t n_bytes)
{
    imprint_mailbox.kind = kind;
    imprint_mailbox.n_bytes = n_bytes;
    barrier();
    imprint_mailbox.posted = imprint_mailbox.posted + 1;
    barrier();
}

/* Copies text from data[at] on, as far as there is room; returns where it ends. */
static uint32_t put_text(uint32_t at, const char *text)
{
    while (*text != 0 && at < IMPRINT_MAILBOX_BYTES)
        imprint_mailbox.data[at++] = (uint8_t)*text++;
    return at;
}

void imprint_mailbox_open(void)
{
    imprint_mailbox.magic = 0;
    barrier();
    imprint_mailbox.capacity = IMPRINT_MAILBOX_BYTES;
    imprint_mailbox.posted = 0;
    imprint_mailbox.answered = 0;
    barrier();
    imprint_mailbox.magic = IMPRINT_MAILBOX_MAGIC;
    barrier();
}

void imprint_text(const char *text)
{
    wait_free();
    post(IMPRINT_TEXT, put_text(0, text));
}

int imprint_say(const char *text)
{
    if (!is_free())
        return 0;
    post(IMPRINT_TEXT, put_text(0, text));
    return 1;
}

int imprint_block(const char *name, const void *bytes, size_t n_bytes)
{
    const uint8_t *from = bytes;
    uint32_t at;
    wait_free();
    at = put_text(0, name);
    if (at >= IMPRINT_MAILBOX_BYTES || n_bytes > IMPRINT_MAILBOX_BYTES - 1 - at)
        return 0;
    imprint_mailbox.data[at++] = 0;
    for (size_t i = 0; i < n_bytes; i++)
        imprint_mailbox.data[at++] = from[i];
    post(IMPRINT_BLOCK, at);
    return 1;
}

uint64_t imprint_time_us(void)
{
    uint64_t time = 0;
    wait_free();
    post(IMPRINT_ASK_TIME, 0);
    wait_free();
    if (imprint_mailbox.n_bytes == 8)
        for (int i = 7; i >= 0; i--)
            time = time << 8 | imprint_mailbox.data[i];
    return time;
}

int imprint_value(const char *name, void *out, size_t cap)
{
    uint8_t *to = out;
    uint32_t n;
    wait_free();
    post(IMPRINT_ASK_VALUE, put_text(0, name));
    wait_free();
    n = imprint_mailbox.n_bytes;
    if (n > IMPRINT_MAILBOX_BYTES) /* IMPRINT_NO_ANSWER among them */
        return -1;
    for (uint32_t i = 0; i < n && i < cap; i++)
        to[i] = imprint_mailbox.data[i];
    return (int)n;
}

void imprint_verdict(uint32_t code, const char *text)
{
    wait_free();
    for (int i = 0; i < 4; i++)
        imprint_mailbox.data[i] = (uint8_t)(code >> (8 * i));
    post(IMPRINT_VERDICT, put_text(4, text));
    for (;;)
        ;
}
