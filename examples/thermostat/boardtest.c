/* The thermostat's board test: runs in RAM before anything is programmed, and gives the clock's trim to the programmer, which
 * programs it. */
#include "imprint_test.h"

/* Stands for a measurement of the crystal: a number that only this chip gives. */
static uint32_t measure(const uint8_t *uid, int n_uid)
{
    uint32_t ppm = 0;
    for (int i = 0; i < n_uid; i++)
        ppm = (ppm * 31u + uid[i]) % 400u;
    return ppm;
}

int main(void)
{
    uint8_t uid[16];
    int n_uid = imprint_value("uid", uid, sizeof uid);
    if (n_uid <= 0)
        imprint_verdict(1, "the recipe gives no value 'uid'");
    uint32_t ppm = measure(uid, n_uid);
    imprint_text("crystal measured");
    imprint_block("rtc-trim", &ppm, sizeof ppm);
    imprint_verdict(ppm < 400 ? 0 : 17, "crystal out of range");
}
