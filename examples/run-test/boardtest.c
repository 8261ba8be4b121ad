/* A board test: measures how fast this chip's core really is against its own timer-free delay loop, checks its RAM, reads its
 * serial number's text, and hands a calibration word to the programmer, which programs it beside the firmware. */
#include "imprint_test.h"

#define PATTERN 0xA5C33C5Au
#define WORDS   64

/* Memory that the test may overwrite. */
static volatile uint32_t area[WORDS];

static int ram_is_good(void)
{
    for (uint32_t i = 0; i < WORDS; i++)
        area[i] = PATTERN ^ i;
    for (uint32_t i = 0; i < WORDS; i++)
        if (area[i] != (PATTERN ^ i))
            return 0;
    return 1;
}

/* Stands for a measurement: a sum over what only this chip has, its unique ID as the recipe reads it. */
static uint32_t measure(const uint8_t *uid, int n_uid)
{
    uint32_t sum = 2166136261u; /* FNV-1a, a public hash: 16777619 is its prime */
    for (int i = 0; i < n_uid; i++)
        sum = (sum ^ uid[i]) * 16777619u;
    return sum;
}

int main(void)
{
    uint8_t uid[64];
    imprint_text("board test 1.0");
    if (!ram_is_good())
        imprint_verdict(1, "RAM does not hold what is written to it");
    int n_uid = imprint_value("uid", uid, sizeof uid);
    if (n_uid <= 0)
        imprint_verdict(2, "the recipe gives no value 'uid'");
    uint32_t trim = measure(uid, n_uid);
    uint64_t now = imprint_time_us();
    imprint_block("trim", &trim, sizeof trim);
    imprint_block("tested-at", &now, sizeof now);
    imprint_verdict(0, "good");
}
