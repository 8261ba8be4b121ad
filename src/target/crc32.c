#include "target/crc32.h"

#define POLYNOMIAL 0xEDB88320u /* reflected */
#define AT_ONCE    4 /* bytes */

/* Row k holds the remainders of the bytes that stand k bytes before the end of a word. Made at each call: that takes as long as some
 * two hundred words. */
static void make_tables(guint32 table[AT_ONCE][256])
{
    for (guint i = 0; i < 256; i++) {
        guint32 value = i;
        for (guint bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (POLYNOMIAL & -(value & 1));
        table[0][i] = value;
    }
    for (guint k = 1; k < AT_ONCE; k++)
        for (guint i = 0; i < 256; i++)
            table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 255];
}

guint32 imp_crc32(const guint8 *bytes, gsize n_bytes)
{
    guint32 table[AT_ONCE][256];
    guint32 crc = 0xFFFFFFFFu;
    make_tables(table);
    for (; n_bytes >= AT_ONCE; bytes += AT_ONCE, n_bytes -= AT_ONCE) {
        crc ^= (guint32)bytes[0] | (guint32)bytes[1] << 8 | (guint32)bytes[2] << 16 | (guint32)bytes[3] << 24;
        crc =
            table[3][crc & 255] ^ table[2][crc >> 8 & 255] ^ table[1][crc >> 16 & 255] ^ table[0][crc >> 24];
    }
    for (; n_bytes > 0; bytes++, n_bytes--)
        crc = crc >> 8 ^ table[0][(crc ^ *bytes) & 255];
    return ~crc;
}
