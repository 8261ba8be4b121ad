/* --set and --barcode: what comes with a launch.
 *
 *     --set NAME=text         the bytes of the text, without an end
 *     --set NAME=hex:00FF     any bytes
 *     --set NAME=file:PATH    a file's bytes
 *     --set NAME=text:hex:    a text that begins like one of these
 *
 * Thread rule: none of its own. */
#pragma once

#include "cli/cli.h"
#include "launch/given.h"

typedef struct {
    ImpGiven items[IMP_GIVEN_MAX + 1]; /* with the label */
    gsize n_items;
} ImpCliGiven;

/* Errors: IMP_E_ARGUMENT, IMP_E_LIMIT, those of a file. */
gboolean imp_cli_given_init(const ImpCli *cli, ImpCliGiven *out_given,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_cli_given_done(ImpCliGiven *given);

/* As a station's request has it: adds "set" and "barcode" to body, if there are any. */
void imp_cli_given_json(const ImpCliGiven *given, json_t *body);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ImpCliGiven, imp_cli_given_done)
