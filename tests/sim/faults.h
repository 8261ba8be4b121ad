/* A run of the fault test: what is drawn from its seed, and what is done with it. */
#pragma once

#include "board_probe.h"
#include "fault_probe.h"
#include "image/content.h"

#define SIM_DATA_BYTES   2048
#define SIM_SERIAL_BYTES 16
#define SIM_FAULTS_MAX   3
#define SIM_STEPS        5
#define SIM_SPEEDS       3
#define SIM_ROUND_TRIPS  2

typedef struct {
    const char *chip, *device;
} SimChip;

extern const SimChip sim_chips[];
extern const guint sim_n_chips;
extern const guint32 sim_speeds[SIM_SPEEDS]; /* Hz */
extern const guint64 sim_round_trips[SIM_ROUND_TRIPS]; /* ns */

/* Faults of the board, and behind them those of the probe's wrapper. */
#define SIM_KINDS ((guint)IMP_BOARD_FAULT_KINDS + (guint)FAULT_KINDS)
/* "wait", "probe: bad-ack" */
char *sim_kind_name(guint kind);

typedef struct {
    guint kind;
    struct imp_board_fault_options board;
    guint64 first, count; /* of the wrapper: packets */
} SimFault;

typedef struct {
    guint64 seed;
    guint chip; /* in sim_chips */
    gboolean small_packets; /* 64 bytes, one in flight; else 512 and 4 */
    guint speed, round_trip; /* in their tables */
    enum imp_board_fill fill;
    ImpEraseMode erase;
    ImpVerifyMode verify;
    gboolean resets,
        resets_between; /* a reset step at the end; one before verify, which then connects anew */
    guint32 offsets[2], sizes[2]; /* the data's two pieces, in flash */
    guint32 serial_offset;
    SimFault faults[SIM_FAULTS_MAX];
    guint n_faults;
} SimPlan;

void sim_draw(SimPlan *plan, guint64 seed);
void sim_draw_layout(SimPlan *plan, guint32 flash_bytes);
/* work_ns: how long such a launch takes without faults; packets: how many it sends. */
void sim_draw_faults(SimPlan *plan, guint64 work_ns, guint64 packets, guint32 flash_base);
void sim_print(const SimPlan *plan);
