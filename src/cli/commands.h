/* The commands of the table, each in the file named beside it. All have the contract of ImpCommandFn. */
#pragma once

#include "cli/cli.h"

/* run.c */
gboolean imp_command_run(ImpCli *cli, GError **error);

/* try.c */
gboolean imp_command_try(ImpCli *cli, GError **error);

/* probe.c */
gboolean imp_command_probe_list(ImpCli *cli, GError **error);

/* target.c */
gboolean imp_command_target_identify(ImpCli *cli, GError **error);

/* device.c */
gboolean imp_command_device_list(ImpCli *cli, GError **error);
gboolean imp_command_device_show(ImpCli *cli, GError **error);
gboolean imp_command_device_add(ImpCli *cli, GError **error);
gboolean imp_command_device_remove(ImpCli *cli, GError **error);

/* doctor.c */
gboolean imp_command_doctor(ImpCli *cli, GError **error);

/* key.c */
gboolean imp_command_key_new(ImpCli *cli, GError **error);
gboolean imp_command_key_show(ImpCli *cli, GError **error);
gboolean imp_command_key_list(ImpCli *cli, GError **error);
gboolean imp_command_key_grant(ImpCli *cli, GError **error);
gboolean imp_command_key_revoke(ImpCli *cli, GError **error);
gboolean imp_command_key_rotate(ImpCli *cli, GError **error);

/* trust.c */
gboolean imp_command_trust_sign(ImpCli *cli, GError **error);
gboolean imp_command_trust_list(ImpCli *cli, GError **error);
gboolean imp_command_cloud_root(ImpCli *cli, GError **error);
gboolean imp_command_cloud_trust(ImpCli *cli, GError **error);

/* author.c */
gboolean imp_command_build(ImpCli *cli, GError **error);
gboolean imp_command_seal(ImpCli *cli, GError **error);
gboolean imp_command_inspect(ImpCli *cli, GError **error);
gboolean imp_command_diff(ImpCli *cli, GError **error);
gboolean imp_command_verify(ImpCli *cli, GError **error);
gboolean imp_command_explain(ImpCli *cli, GError **error);

/* draft.c */
gboolean imp_command_new(ImpCli *cli, GError **error);
gboolean imp_command_check(ImpCli *cli, GError **error);

/* station.c */
gboolean imp_command_station_status(ImpCli *cli, GError **error);
gboolean imp_command_station_load(ImpCli *cli, GError **error);
gboolean imp_command_station_images(ImpCli *cli, GError **error);
gboolean imp_command_station_delete(ImpCli *cli, GError **error);
gboolean imp_command_station_log(ImpCli *cli, GError **error);
gboolean imp_command_station_keys(ImpCli *cli, GError **error);
gboolean imp_command_station_keys_add(ImpCli *cli, GError **error);
gboolean imp_command_station_keys_remove(ImpCli *cli, GError **error);
gboolean imp_command_station_trust(ImpCli *cli, GError **error);
gboolean imp_command_station_trust_add(ImpCli *cli, GError **error);
gboolean imp_command_station_trust_remove(ImpCli *cli, GError **error);
gboolean imp_command_station_enrol(ImpCli *cli, GError **error);
gboolean imp_command_station_cancel(ImpCli *cli, GError **error);

/* station_launch.c */
gboolean imp_command_station_launch(ImpCli *cli, GError **error);

/* cloud.c */
gboolean imp_command_cloud_login(ImpCli *cli, GError **error);
gboolean imp_command_cloud_logout(ImpCli *cli, GError **error);
gboolean imp_command_cloud_factory_list(ImpCli *cli, GError **error);
gboolean imp_command_cloud_factory_add(ImpCli *cli, GError **error);
gboolean imp_command_cloud_group_list(ImpCli *cli, GError **error);
gboolean imp_command_cloud_group_add(ImpCli *cli, GError **error);
gboolean imp_command_cloud_station_list(ImpCli *cli, GError **error);
gboolean imp_command_cloud_station_code(ImpCli *cli, GError **error);
gboolean imp_command_cloud_station_remove(ImpCli *cli, GError **error);
gboolean imp_command_cloud_station_admit(ImpCli *cli, GError **error);
gboolean imp_command_cloud_author_list(ImpCli *cli, GError **error);
gboolean imp_command_cloud_author_add(ImpCli *cli, GError **error);
gboolean imp_command_cloud_image_list(ImpCli *cli, GError **error);
gboolean imp_command_cloud_image_register(ImpCli *cli, GError **error);
gboolean imp_command_cloud_image_upload(ImpCli *cli, GError **error);
gboolean imp_command_cloud_image_pause(ImpCli *cli, GError **error);
gboolean imp_command_cloud_image_resume(ImpCli *cli, GError **error);
gboolean imp_command_cloud_image_disable(ImpCli *cli, GError **error);
gboolean imp_command_pool_list(ImpCli *cli, GError **error);
gboolean imp_command_pool_show(ImpCli *cli, GError **error);
gboolean imp_command_pool_set_next(ImpCli *cli, GError **error);
gboolean imp_command_pool_split(ImpCli *cli, GError **error);

/* cloud_log.c */
gboolean imp_command_cloud_log(ImpCli *cli, GError **error);
