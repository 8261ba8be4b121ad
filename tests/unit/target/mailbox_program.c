/* A board test for tests: does what the value "plan" says, one letter after the other. */
#include "imprint_test.h"

static uint32_t zeroed[4]; /* start code must have cleared it */
static uint8_t payload[64];

static void crash(void)
{
    __asm__ volatile("udf #0");
}

int main(void)
{
    char plan[64];
    int n = imprint_value("plan", plan, sizeof plan);
    if (zeroed[3] != 0)
        imprint_verdict(90, "memory was not cleared");
    zeroed[3] = 1;
    for (int i = 0; i < n; i++)
        switch (plan[i]) {
        case 't':
            imprint_text("hello \x01 \xC3\xA4 \xFF");
            break;
        case 's':
            imprint_say("up and running");
            break;
        case 'b':
            imprint_block("payload", payload, (size_t)imprint_value("payload", payload, sizeof payload));
            break;
        case 'c': {
            uint64_t now = imprint_time_us();
            imprint_block("time", &now, sizeof now);
            break;
        }
        case 'm': /* values that are not there */
            if (imprint_value("nothing", payload, sizeof payload) != -1)
                imprint_verdict(91, "an answer out of nothing");
            break;
        case 'n':
            imprint_block("bad name", payload, 1);
            break;
        case 'o': /* a mailbox that was written over */
            imprint_mailbox.n_bytes = 5000;
            imprint_mailbox.kind = 1;
            imprint_mailbox.posted = imprint_mailbox.posted + 1;
            for (;;)
                ;
        case 'k':
            imprint_mailbox.kind = 77;
            imprint_mailbox.n_bytes = 0;
            imprint_mailbox.posted = imprint_mailbox.posted + 1;
            for (;;)
                ;
        case 'B': /* too many blocks */
            for (char name[3] = "a0"; name[0] < 'z'; name[0]++)
                imprint_block(name, payload, 1);
            break;
        case 'T': /* more text than is kept */
            for (int k = 0; k < 100; k++)
                imprint_text("0123456789012345678901234567890123456789012345678901234567890123456789");
            break;
        case 'h':
            for (;;)
                ;
        case 'x':
            crash();
            break;
        case 'f':
            imprint_verdict(17, "crystal out of range");
        default:
            imprint_verdict(92, "no such plan");
        }
    imprint_verdict(0, "good");
}
