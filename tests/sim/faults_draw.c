#include "faults.h"

#include <string.h>

const SimChip sim_chips[] = {{"nrf51822", "nRF51822"},
                             {"stm32f103cb", "STM32F103CB"},
                             {"stm32g071rb", "STM32G071RB"},
                             {"nrf52832", "nRF52832"},
                             {"fastflash", "STM32F103CB"}};
const guint sim_n_chips = G_N_ELEMENTS(sim_chips);
const guint32 sim_speeds[SIM_SPEEDS] = {1000000, 4000000, 10000000};
const guint64 sim_round_trips[SIM_ROUND_TRIPS] = {125000, 1000000};

/* splitmix64, as everywhere where a seed must mean the same on every machine */
static guint64 draw(guint64 *state, guint64 below)
{
    guint64 z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

char *sim_kind_name(guint kind)
{
    if (kind < IMP_BOARD_FAULT_KINDS)
        return g_strdup(imp_board_fault_name((enum imp_board_fault)kind));
    const char *name = fault_probe_kind_name((FaultKind)(kind - IMP_BOARD_FAULT_KINDS));
    return name != NULL ? g_strconcat("probe: ", name, NULL) : NULL;
}

void sim_draw(SimPlan *plan, guint64 seed)
{
    guint64 state = seed * 2 + 1;
    *plan = (SimPlan){.seed = seed};
    /* the chip without a real one behind it costs the least time: it is as fast as the wire */
    plan->chip = (guint)draw(&state, 4) ? sim_n_chips - 1 : (guint)draw(&state, sim_n_chips);
    plan->small_packets = draw(&state, 4) == 0;
    plan->speed = draw(&state, 8) ? 1 + (guint)draw(&state, SIM_SPEEDS - 1) : 0;
    plan->round_trip = draw(&state, 4) == 0;
    plan->fill = draw(&state, 3) ? IMP_BOARD_FILL_RANDOM : IMP_BOARD_FILL_BLANK;
    plan->erase = draw(&state, 2) ? IMP_ERASE_USED : IMP_ERASE_ALL;
    plan->verify = draw(&state, 2) ? IMP_VERIFY_CHECKSUM : IMP_VERIFY_READ_BACK;
    plan->resets = draw(&state, 2);
    plan->resets_between = draw(&state, 4) == 0;
}

/* Two pieces and the place of a serial number, apart from each other by at least a page of every chip. */
void sim_draw_layout(SimPlan *plan, guint32 flash_bytes)
{
    guint64 state = plan->seed * 2 + 0xDA7A0000;
    guint32 third = flash_bytes / 3;
    plan->sizes[0] = (guint32)(200 + draw(&state, SIM_DATA_BYTES - 400));
    plan->sizes[1] = SIM_DATA_BYTES - plan->sizes[0];
    plan->offsets[0] = draw(&state, 2) ? 0 : (guint32)draw(&state, third - 8192);
    plan->offsets[1] = third + (guint32)draw(&state, third - 8192);
    plan->serial_offset = draw(&state, 2) ? flash_bytes - SIM_SERIAL_BYTES
                                          : 2 * third + (guint32)draw(&state, third - 8192) / 4 * 4;
}

/* A cell that matters: a byte of the data or the serial number. */
static guint32 draw_cell(const SimPlan *plan, guint64 *state, guint32 flash_base)
{
    switch (draw(state, 3)) {
    case 0:
        return flash_base + plan->offsets[0] + (guint32)draw(state, plan->sizes[0]);
    case 1:
        return flash_base + plan->offsets[1] + (guint32)draw(state, plan->sizes[1]);
    default:
        return flash_base + plan->serial_offset + (guint32)draw(state, SIM_SERIAL_BYTES);
    }
}

static void draw_board_fault(const SimPlan *plan, guint64 *state, guint64 work_ns, guint32 flash_base,
                             SimFault *out)
{
    struct imp_board_fault_options *o = &out->board;
    out->kind = (guint)IMP_BOARD_FAULT_STUCK_BIT +
                (guint)draw(state, IMP_BOARD_FAULT_KINDS - IMP_BOARD_FAULT_STUCK_BIT);
    o->seed = draw(state, G_MAXUINT64);
    o->after_ns = draw(state, work_ns + work_ns / 8);
    o->addr = draw_cell(plan, state, flash_base);
    o->bit = (unsigned)draw(state, 8);
    /* once, a burst, for ever */
    guint64 how = draw(state, 8);
    o->count = how < 4 ? 1 : how < 7 ? 2 + draw(state, 40) : IMP_BOARD_FAULT_EVER;
    o->factor = draw(state, 2) ? 2 + draw(state, 30) : 1000 + draw(state, 100000);
    o->length_ns = draw(state, 4) == 0 ? 0 : 1000 + draw(state, work_ns / 4);
    o->fill = (enum imp_board_fill[]){IMP_BOARD_FILL_BLANK, IMP_BOARD_FILL_RANDOM,
                                      IMP_BOARD_FILL_KEEP}[draw(state, 3)];
    if (out->kind == IMP_BOARD_FAULT_WAIT && how >= 4 && how < 7)
        o->count = 100 + draw(state, 2000); /* the probe itself repeats 500 times */
    if (out->kind == IMP_BOARD_FAULT_LATE)
        o->length_ns = draw(state, 2) ? 1000000 + draw(state, 300000000) : 6000000000u;
}

void sim_draw_faults(SimPlan *plan, guint64 work_ns, guint64 packets, guint32 flash_base)
{
    guint64 state = plan->seed * 2 + 0x5EED0000;
    plan->n_faults = 1 + (guint)draw(&state, SIM_FAULTS_MAX);
    for (guint i = 0; i < plan->n_faults; i++) {
        SimFault *fault = &plan->faults[i];
        *fault = (SimFault){0};
        if (draw(&state, 4) > 0) {
            draw_board_fault(plan, &state, work_ns, flash_base, fault);
            continue;
        }
        fault->kind = IMP_BOARD_FAULT_KINDS + FAULT_WAIT + (guint)draw(&state, FAULT_KINDS - FAULT_WAIT);
        fault->first = draw(&state, packets + packets / 8);
        fault->count = draw(&state, 4) == 0 ? G_MAXUINT64 : 1 + draw(&state, 3);
    }
}

void sim_print(const SimPlan *plan)
{
    g_print("# seed %" G_GUINT64_FORMAT ": %s, %u kHz, %s packets, round trip %u us, erase %s, verify %s%s\n",
            plan->seed, sim_chips[plan->chip].chip, sim_speeds[plan->speed] / 1000,
            plan->small_packets ? "small" : "large", (guint)(sim_round_trips[plan->round_trip] / 1000),
            plan->erase == IMP_ERASE_ALL ? "all" : "used",
            plan->verify == IMP_VERIFY_CHECKSUM ? "checksum" : "read-back",
            plan->resets_between ? ", reset before verify"
            : plan->resets       ? ", reset"
                                 : "");
    for (guint i = 0; i < plan->n_faults; i++) {
        const SimFault *f = &plan->faults[i];
        g_autofree char *name = sim_kind_name(f->kind);
        if (f->kind < IMP_BOARD_FAULT_KINDS)
            g_print("#   %s after=%" G_GUINT64_FORMAT " us for=%" G_GUINT64_FORMAT
                    " us count=%" G_GINT64_FORMAT " factor=%" G_GUINT64_FORMAT " at 0x%08X.%u\n",
                    name, f->board.after_ns / 1000, f->board.length_ns / 1000, (gint64)f->board.count,
                    f->board.factor, f->board.addr, f->board.bit);
        else
            g_print("#   %s packets %" G_GUINT64_FORMAT " + %" G_GINT64_FORMAT "\n", name, f->first,
                    (gint64)f->count);
    }
}
