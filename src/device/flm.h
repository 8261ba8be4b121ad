/* Reads a flash algorithm file (FLM, the field's own format) into an ImpAlgorithm.
 *
 * An FLM is an ELF file for 32-bit ARM (Open-CMSIS-Pack, "Flash Programming"): section PrgCode, section PrgData
 * (initialised and zeroed parts may be two sections of that name), section DevDscr with the structure FlashDevice,
 * functions by symbol. Files come from chip vendors' packs, so they are not trusted: whatever does not hold together
 * is refused. Habits of files in the field are not: PrgCode linked to another address than 0, no UnInit (one that does
 * nothing takes its place), no time limits or endless ones, sectors behind the end of the memory. Verify and BlankCheck have more than one
 * meaning in the field (Verify returns 0, or the address behind the last good byte), so nothing here ever calls them. No I/O. Needs libelf: a library of its own (imp_device_flm), which the station does not link.
 *
 * Thread rule: none of its own; may be called from any thread. */
#pragma once

#include "device/device.h"

#define IMP_FLM_FILE_MAX     (4u * 1024 * 1024)
#define IMP_FLM_SECTIONS_MAX 256
#define IMP_FLM_SYMBOLS_MAX  65536

/* The algorithm in bytes; free with imp_algorithm_free. what names the file in messages ("nrf51-code.flm").
 * Errors: IMP_E_ALGORITHM_FILE. */
ImpAlgorithm *imp_flm_parse(GBytes *bytes, const char *what, GError **error) G_GNUC_WARN_UNUSED_RESULT;
