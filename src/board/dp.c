/* Debug port (DPv1, minimal: ADIv5.2 chapter B2) and MEM-AP (chapter C2).
 *
 * AP reads are posted: an AP read returns the previous result, RDBUFF the last one. An access that the bus stalls (flash
 * busy) makes the AP busy: further AP accesses and RDBUFF are answered WAIT until it is done. An access that the bus refuses sets
 * STICKYERR; while any sticky flag is set only DPIDR, CTRL/STAT reads and ABORT writes are OK, all else is FAULT. */
#include "board/machine.h"

#include <string.h>

/* CTRL/STAT, B2.2.3 */
#define CTRL_ORUNDETECT (1u << 0)
#define CTRL_STICKYORUN (1u << 1)
#define CTRL_STICKYERR  (1u << 5)
#define CTRL_READOK     (1u << 6)
#define CTRL_WDATAERR   (1u << 7)
#define CTRL_CDBGRSTREQ (1u << 26)
#define CTRL_CDBGPWRREQ (1u << 28)
#define CTRL_CSYSPWRREQ (1u << 30)
#define CTRL_WRITABLE   (CTRL_ORUNDETECT | CTRL_CDBGRSTREQ | CTRL_CDBGPWRREQ | CTRL_CSYSPWRREQ)
#define CTRL_POWER      (CTRL_CDBGPWRREQ | CTRL_CSYSPWRREQ)

/* ABORT, B2.2.1 */
#define ABORT_DAPABORT   (1u << 0)
#define ABORT_STKERRCLR  (1u << 2)
#define ABORT_WDERRCLR   (1u << 3)
#define ABORT_ORUNERRCLR (1u << 4)

/* CSW, C2.6.4 */
#define CSW_SIZE       0x7u
#define CSW_INC_SINGLE (1u << 4)
#define CSW_INC_PACKED (2u << 4)
#define CSW_INC        (3u << 4)
#define CSW_DEVICE_EN  (1u << 6)
#define CSW_TR_IN_PROG (1u << 7)
#define CSW_PROT       0x7F000000u

enum {
    AP_CSW = 0x00,
    AP_TAR = 0x04,
    AP_DRW = 0x0C,
    AP_BD0 = 0x10,
    AP_CFG = 0xF4,
    AP_BASE = 0xF8,
    AP_IDR = 0xFC
};

void dp_power_up(ImpBoard *b)
{
    memset(&b->dp, 0, sizeof b->dp);
    memset(&b->ap, 0, sizeof b->ap);
    b->ap.csw = 0x23000002u; /* word accesses, no increment, privileged data */
}

bool dp_overrun_detection(const ImpBoard *b)
{
    return b->dp.ctrl & CTRL_ORUNDETECT;
}

void dp_overrun(ImpBoard *b)
{
    b->dp.sticky_orun = true;
}

void dp_parity_error(ImpBoard *b)
{
    b->counters.parity_errors++;
    b->dp.wdata_err = true;
}

void dp_bus_error(ImpBoard *b)
{
    b->dp.sticky_err = true;
}

static bool any_sticky(const struct dp *d)
{
    return d->sticky_orun || d->sticky_err || d->wdata_err;
}

static uint32_t ctrl_stat(const struct dp *d)
{
    uint32_t v = d->ctrl;
    v |= (v & (CTRL_CDBGRSTREQ | CTRL_CDBGPWRREQ | CTRL_CSYSPWRREQ)) << 1; /* acknowledges follow */
    v |= d->sticky_orun ? CTRL_STICKYORUN : 0;
    v |= d->sticky_err ? CTRL_STICKYERR : 0;
    v |= d->wdata_err ? CTRL_WDATAERR : 0;
    v |= d->read_ok ? CTRL_READOK : 0;
    return v;
}

/* ---- MEM-AP ---- */

static unsigned access_size(const ImpBoard *b)
{
    unsigned s = b->ap.csw & CSW_SIZE;
    return s == 0 ? 1 : s == 1 ? 2 : 4;
}

static void increment_tar(ImpBoard *b, unsigned size)
{
    uint32_t wrap = b->chip->tar_wrap - 1;
    if (b->ap.csw & CSW_INC)
        b->ap.tar = (b->ap.tar & ~wrap) | ((b->ap.tar + size) & wrap);
}

/* The access under way, from its next part on. Data in byte lanes of the 32-bit word. */
static void run_access(ImpBoard *b, uint64_t now_ns)
{
    struct mem_ap *ap = &b->ap;
    ap->pending = false;
    for (; ap->part < ap->parts; ap->part++) {
        uint32_t addr = ap->addr + ap->part * ap->size, v = 0;
        unsigned shift = 8 * (addr & 3);
        struct bus_access a = {.addr = addr, .size = ap->size, .now_ns = now_ns, .master = MASTER_DEBUG};
        enum bus_result r;
        if (addr % ap->size != 0) {
            r = BUS_FAULT;
        } else if (ap->write) {
            v = ap->value >> shift;
            r = bus_write(b, &a, ap->size == 4 ? v : v & ((1u << 8 * ap->size) - 1));
        } else {
            r = bus_read(b, &a, &v);
            if (r == BUS_OK)
                ap->value |= v << shift;
        }
        if (r == BUS_STALL) {
            ap->pending = true;
            ap->retry_ns = flash_busy_until_ns(b);
            return;
        }
        if (r == BUS_FAULT) {
            b->dp.sticky_err = true;
            break;
        }
    }
    if (!ap->write)
        b->dp.read_buffer = ap->value;
}

void ap_retry(ImpBoard *b)
{
    run_access(b, b->ap.retry_ns);
}

/* Read protection of the access port: no memory behind it (ADIv5.2, C2.6.4: DeviceEn). */
static bool closed(const ImpBoard *b)
{
    return b->chip->ops->closes_ap && b->chip->ops->closes_ap(b);
}

static void begin_access(ImpBoard *b, bool write, uint32_t addr, unsigned size, unsigned parts,
                         uint32_t value)
{
    struct mem_ap *ap = &b->ap;
    board_sync(b);
    if (closed(b)) {
        b->dp.sticky_err = true;
        return;
    }
    ap->write = write;
    ap->addr = addr;
    ap->size = size;
    ap->part = 0;
    ap->parts = parts;
    ap->value = write ? value : 0;
    run_access(b, b->now_ns);
}

static void access_drw(ImpBoard *b, bool write, uint32_t value)
{
    unsigned size = access_size(b);
    bool packed = (b->ap.csw & CSW_INC) == CSW_INC_PACKED && size < 4;
    begin_access(b, write, b->ap.tar, size, packed ? 4 / size : 1, value);
    increment_tar(b, packed ? 4 : size);
}

/* Beside the MEM-AP a chip may have ports of its own; absent ones read 0. */
static void other_ap(ImpBoard *b, bool write, unsigned reg, uint32_t value)
{
    const struct flash_ops *ops = b->chip->ops;
    unsigned ap = b->dp.select >> 24;
    board_sync(b);
    if (write) {
        if (ops->ap_write)
            (void)ops->ap_write(b, ap, reg, value);
    } else if (!ops->ap_read || !ops->ap_read(b, ap, reg, &b->dp.read_buffer)) {
        b->dp.read_buffer = 0;
    }
}

static void ap_access(ImpBoard *b, bool write, unsigned a32, uint32_t value)
{
    struct mem_ap *ap = &b->ap;
    unsigned reg = (b->dp.select & 0xF0) | a32;
    if (b->dp.select >> 24 != 0) {
        other_ap(b, write, reg, value);
        return;
    }
    if (reg == AP_DRW) {
        access_drw(b, write, value);
        return;
    }
    if ((reg & 0xF0) == AP_BD0) {
        begin_access(b, write, (ap->tar & ~0xFu) | a32, 4, 1, value);
        return;
    }
    if (write) {
        if (reg == AP_CSW)
            ap->csw = value & (CSW_SIZE | CSW_PROT | (b->chip->packed ? CSW_INC : CSW_INC_SINGLE));
        else if (reg == AP_TAR)
            ap->tar = value;
        if (reg == AP_CSW && (value & CSW_SIZE) > 2)
            ap->csw = (ap->csw & ~CSW_SIZE) | 2; /* larger sizes do not exist */
        return;
    }
    switch (reg) {
    case AP_CSW:
        b->dp.read_buffer = ap->csw | (closed(b) ? 0 : CSW_DEVICE_EN);
        break;
    case AP_TAR:
        b->dp.read_buffer = ap->tar;
        break;
    case AP_BASE:
        b->dp.read_buffer = b->chip->ap_base;
        break;
    case AP_IDR:
        b->dp.read_buffer = b->identity.ap_idr;
        break;
    default: /* CFG among them: little-endian, no large addresses or data */
        b->dp.read_buffer = 0;
        break;
    }
}

/* ---- DP ---- */

static bool ap_busy(ImpBoard *b)
{
    if (b->ap.pending)
        board_sync(b);
    return b->ap.pending;
}

static uint8_t read_dp(ImpBoard *b, unsigned a32, uint32_t *out)
{
    struct dp *d = &b->dp;
    switch (a32) {
    case 0x0:
        *out = b->identity.dpidr;
        return ACK_OK;
    case 0x4:
        (void)ap_busy(b); /* an error of a stalled access shows here as soon as it happened */
        *out = (d->select & 0xF) == 0 ? ctrl_stat(d) : 0;
        return ACK_OK;
    }
    if (any_sticky(d))
        return ACK_FAULT;
    if (ap_busy(b)) {
        d->read_ok = false;
        return ACK_WAIT;
    }
    if (any_sticky(d))
        return ACK_FAULT;
    d->read_ok = true;
    if (a32 == 0xC)
        d->last_read = d->read_buffer;
    *out = d->last_read; /* 0x8: RESEND */
    b->counters.dp_reads++;
    return ACK_OK;
}

uint8_t dp_request(ImpBoard *b, uint8_t req, uint32_t *out)
{
    struct dp *d = &b->dp;
    unsigned a32 = req & (REQ_A2 | REQ_A3);
    bool read = req & REQ_READ;
    if (!(req & REQ_AP)) {
        if (read) {
            uint8_t ack = read_dp(b, a32, out);
            if (ack == ACK_OK && a32 < 8)
                b->counters.dp_reads++;
            return ack;
        }
        if (a32 == 0x0)
            return ACK_OK; /* ABORT is always taken */
        if (any_sticky(d))
            return ACK_FAULT;
        return ap_busy(b) ? ACK_WAIT : any_sticky(d) ? ACK_FAULT : ACK_OK;
    }
    if (any_sticky(d) || (d->ctrl & CTRL_POWER) != CTRL_POWER)
        return ACK_FAULT;
    if (ap_busy(b)) {
        if (read)
            d->read_ok = false;
        return ACK_WAIT;
    }
    if (any_sticky(d))
        return ACK_FAULT;
    if (read) {
        *out = d->last_read = d->read_buffer;
        d->read_ok = true;
        b->counters.ap_reads++;
        ap_access(b, false, a32, 0);
    }
    return ACK_OK;
}

void dp_write(ImpBoard *b, uint8_t req, uint32_t data)
{
    struct dp *d = &b->dp;
    unsigned a32 = req & (REQ_A2 | REQ_A3);
    if (req & REQ_AP) {
        b->counters.ap_writes++;
        ap_access(b, true, a32, data);
        return;
    }
    b->counters.dp_writes++;
    switch (a32) {
    case 0x0:
        if (data & ABORT_DAPABORT)
            b->ap.pending = false;
        if (data & ABORT_STKERRCLR)
            d->sticky_err = false;
        if (data & ABORT_WDERRCLR)
            d->wdata_err = false;
        if (data & ABORT_ORUNERRCLR)
            d->sticky_orun = false;
        break;
    case 0x4:
        if ((d->select & 0xF) == 0)
            d->ctrl = data & CTRL_WRITABLE;
        break;
    case 0x8:
        d->select = data;
        break;
    default: /* 0xC: reserved in this version */
        break;
    }
}
