/* The options and commands of imprint, in the order in which help lists them. docs/cli.md is held against this table by
 * a test. */
#include "cli/cli.h"
#include "cli/commands.h"

#define O(option) ((guint64)1 << IMP_OPTION_##option)

const ImpOptionEntry imp_cli_options[IMP_OPTION_COUNT] = {
    [IMP_OPTION_HELP] = {"help", 'h', NULL, "say what the command does"},
    [IMP_OPTION_JSON] = {"json", 0, NULL, "print the result as one JSON object, and nothing else"},
    [IMP_OPTION_VERSION] = {"version", 0, NULL, "print the version"},
    [IMP_OPTION_ALL] = {"all", 0, NULL, "also permits that came to nothing: no chip was touched"},
    [IMP_OPTION_AUTHOR_KEY] = {"author-key", 0, "FILE", "the author's key"},
    [IMP_OPTION_BARCODE] = {"barcode", 0, "TEXT", "the text of the unit's label, as it was scanned"},
    [IMP_OPTION_CA] = {"ca", 0, "FILE", "certificate of the cloud's CA (PEM)"},
    [IMP_OPTION_CODE_FILE] = {"code-file", 0, "FILE", "read the code from a file; - is standard input"},
    [IMP_OPTION_NUMBER_COUNT] = {"count", 0, "NUMBER", "how many"},
    [IMP_OPTION_CSV] = {"csv", 0, "FILE", "write CSV into a file; - is standard output"},
    [IMP_OPTION_DATES] = {"dates", 0, "FROM to TO", "days on which the image may run (UTC, inclusive)"},
    [IMP_OPTION_DEFINE] = {"define", 'D', "NAME=VALUE", "put the value in place of ${NAME} in the recipe"},
    [IMP_OPTION_DEVICE] = {"device", 0, "NAME", "the chip"},
    [IMP_OPTION_DIR] = {"dir", 0, "FOLDER", "where the files are made (default: the current folder)"},
    [IMP_OPTION_ENCRYPT_TO] = {"encrypt-to", 0, "FILE", "the public half of the image key"},
    [IMP_OPTION_FACTORY] = {"factory", 0, "NAME", "the factory at the cloud"},
    [IMP_OPTION_FINGERPRINT] = {"fingerprint", 0, "HEX", "what the other side's key must have"},
    [IMP_OPTION_FINISH] = {"finish", 0, NULL, "end the change-over: delete the old key"},
    [IMP_OPTION_GROUP] = {"group", 0, "NAME", "the group of stations"},
    [IMP_OPTION_IMAGE] = {"image", 0, "ID", "only of this image"},
    [IMP_OPTION_IMAGE_KEY] = {"image-key", 0, "FILE", "the private image key"},
    [IMP_OPTION_KIND] = {"kind", 0, "sap|job", "the kind of image"},
    [IMP_OPTION_LIMIT] = {"limit", 0, "NUMBER", "at most so many lines"},
    [IMP_OPTION_MAX_FAILURES] = {"max-failures", 0, "NUMBER", "stop after so many failed units"},
    [IMP_OPTION_NAME] = {"name", 0, "NAME", "under this name"},
    [IMP_OPTION_NUMBER] = {"number", 0, "NUMBER", "the list's number (default: one more than the file's)"},
    [IMP_OPTION_NUMBERS] = {"numbers", 0, "A-B",
                            "the SAP's own numbers, first and last; POOL=A-B,… of several pools"},
    [IMP_OPTION_ON_CONTACT] = {"on-contact", 0, NULL, "begin with every board that is put in, until Ctrl-C"},
    [IMP_OPTION_ORDER] = {"order", 0, "NUMBER", "the work order, kept in every record"},
    [IMP_OPTION_OUTPUT] = {"output", 'o', "FILE", "the file to write"},
    [IMP_OPTION_PASSWORD_FILE] = {"password-file", 0, "FILE", "read the password from a file"},
    [IMP_OPTION_PORTS] = {"ports", 0, "all|A,B", "the ports to start"},
    [IMP_OPTION_POWER] =
        {"power", 0, "SPEC",
         "the unit's supply: scpi:HOST:PORT[/CHANNEL], gpio:CHIP/LINE[:low] or command:PATH"},
    [IMP_OPTION_PROBE] =
        {"probe", 0, "SPEC",
         "tcp:HOST:PORT, usb:SERIAL, hid:SERIAL or gdb:HOST:PORT (default: the only USB probe)"},
    [IMP_OPTION_REASON] = {"reason", 0, "TEXT", "why, for the audit log"},
    [IMP_OPTION_RECIPE] = {"recipe", 0, "FILE", "the recipe whose releases are meant"},
    [IMP_OPTION_RELEASE] = {"release", 0, "NAME", "a release of the recipe"},
    [IMP_OPTION_RELEASE_BY] = {"release-by", 0, "cloud|key",
                               "JOB: what opens it beside the image key (default: its cloud's share)"},
    [IMP_OPTION_RESULT] = {"result", 0, "FILE",
                           "write what --json prints into a file, beside the ordinary output"},
    [IMP_OPTION_ROOT_KEY] = {"root-key", 0, "FILE", "the account's root key"},
    [IMP_OPTION_SERIAL] = {"serial", 0, "LINE",
                           "the unit's serial line: serial:/dev/DEVICE[:BAUD] or tcp:HOST:PORT"},
    [IMP_OPTION_SET] = {"set", 0, "NAME=DATA", "data for a value: text, hex:00FF or file:PATH"},
    [IMP_OPTION_SHARE] = {"share", 0, "FILE",
                          "the cloud's share (.share), of an image that its cloud releases"},
    [IMP_OPTION_SOCKET] = {"socket", 0, "PATH", "the station's control socket"},
    [IMP_OPTION_STATION] = {"station", 0, NULL, "those of the station here, not of the cloud"},
    [IMP_OPTION_SUITE] = {"suite", 0, "1|2", "1: EC P-256 (default), 2: RSA 3072"},
    [IMP_OPTION_TO] = {"to", 0, "FILE", "the station's sealing key (its public half)"},
    [IMP_OPTION_TOKEN_FILE] = {"token-file", 0, "FILE", "read the token from a file"},
    [IMP_OPTION_UNITS] = {"units", 0, "NUMBER", "how many units may be made"},
    [IMP_OPTION_USER] = {"user", 0, "EMAIL", "the person who logs in"},
    [IMP_OPTION_VERIFY_ONLY] = {"verify-only", 0, NULL,
                                "only compare the chip with the image: write nothing, use nothing up"},
    [IMP_OPTION_YES] = {"yes", 'y', NULL, "answer questions with yes"},
};

#define STATION O(SOCKET)
#define CLOUD   O(TOKEN_FILE)

const ImpCommandEntry imp_cli_commands[] = {
    {"run", "RECIPE", 1, 1,
     O(PROBE) | O(RELEASE) | O(ORDER) | O(DEFINE) | O(ON_CONTACT) | O(POWER) | O(SERIAL) | O(SET) |
         O(BARCODE) | O(VERIFY_ONLY),
     imp_command_run, "program the chip on the desk: no cloud, no keys, no daemon",
     "Builds the recipe in memory and carries it out on one chip. Counts, serial numbers and records are "
     "kept in\n"
     "a ledger of its own in the user's data folder (imprint/ledger.db): so the serial numbers are the "
     "desk's own,\n"
     "and another authority may give the same ones. With --release the release's restrictions hold there, "
     "its\n"
     "numbers too. --probe given several times, or --probe all (every probe on USB), programs a "
     "chip "
     "at\n"
     "each of them at once, shows a summary, and ends with the status of the worst; none waits for another.\n"
     "With --on-contact a board begins as soon as it is put in, and the next one after it was taken out, at "
     "each "
     "of\n"
     "the probes, until Ctrl-C (or no more units may be made); then a summary. A board that is there at the "
     "beginning\n"
     "is the first. A probe may be unplugged and plugged in again."},
    {"try", "RECIPE", 1, 1, O(RELEASE) | O(ORDER) | O(DEFINE) | O(SET) | O(BARCODE), imp_command_try,
     "carry a recipe out on a virtual board: a trial that uses nothing up",
     "Starts imprint-board with the recipe's chip, blank, does there what imprint run does, and ends it. "
     "Counts "
     "and\n"
     "serial numbers start from nothing and are forgotten. For the CI of firmware: the exit status is that "
     "of "
     "run.\n"
     "IMPRINT_BOARD names the board's program where it is not beside this one or on the path."},
    {"probe list", "", 0, 0, O(PROBE), imp_command_probe_list,
     "list the probes on USB, and what keeps one from being used",
     "Each probe that may be opened is asked for its firmware and its packets (bytes, how many at a time). "
     "For\n"
     "one that may not, the udev rule that mends it is shown. With --probe: asks that one alone."},
    {"target identify", "", 0, 0, O(PROBE), imp_command_target_identify,
     "say which chip is there; only reads",
     "Debug port, core, maker, the device of the table whose checks all hold, its unique ID, and whether it "
     "is "
     "locked\n"
     "against reading. The chip is neither reset nor halted: its firmware goes on; only a GDB server halts "
     "it while "
     "it is\n"
     "asked."},
    {"device list", "[FILTER]", 0, 1, 0, imp_command_device_list,
     "list the chips that are known: those of this version, and those of the packs that were added",
     "With FILTER only those with it in a name."},
    {"device show", "NAME", 1, 1, 0, imp_command_device_show,
     "show a chip: memories, sectors, how it is told from others",
     "NAME as in a recipe: of a chip, NAME:CORE for one of its cores, VENDOR::NAME for that of a vendor's "
     "pack."},
    {"device add", "FILE.pack|FILE.pdsc", 1, 1, 0, imp_command_device_add,
     "make the chips of a vendor's CMSIS-Pack known",
     "The pack's description and its flash algorithms are kept in the user's data folder (imprint/packs), "
     "the\n"
     "rest of it is not needed. FILE.pdsc is that of an unpacked pack. The newest version of a pack counts."},
    {"device remove", "VENDOR.PACK[.VERSION]", 1, 1, 0, imp_command_device_remove, "forget a pack",
     "Objects and images that were built with it stay as they are."},
    {"doctor", "", 0, 0, O(PROBE), imp_command_doctor,
     "check the set-up of the desk; each line says what to do",
     "The chips' algorithms, the packs that were added, the folder and the ledger of imprint run, the login "
     "at a "
     "cloud,\n"
     "the probes on USB (or that of --probe), the clock. Touches no chip. The exit status is that of the "
     "first line that is not ok."},
    {"key new", "author|image|root NAME", 2, 2, O(DIR) | O(SUITE), imp_command_key_new,
     "make a key pair: NAME.key (keep it secret) and NAME.pub",
     "The files say what the pair is for, and it is taken for nothing else. Author and image key of an image "
     "must be\n"
     "of one suite."},
    {"key show", "KEY", 1, 1, 0, imp_command_key_show, "show which key a file or token holds, and for what",
     "Wherever a key file is named, the URI of a key in a PKCS#11 token will do as well: docs/keys.md."},
    {"key list", "", 0, 0, O(DIR), imp_command_key_list, "list the key files of a folder", NULL},
    {"key grant", "IMAGE-KEY", 1, 1, O(TO) | O(FINGERPRINT) | O(OUTPUT) | O(SOCKET) | O(YES),
     imp_command_key_grant, "give a station the private image key, sealed to its sealing key",
     "With --to and -o: seals to the station's public key in a file and writes the grant, which `imprint "
     "station\n"
     "keys add` loads. With --socket: asks the station itself for its key, and loads the grant at once. "
     "Compare\n"
     "the fingerprint with the one that the station shows; --fingerprint does it for you."},
    {"key revoke", "KEY", 1, 1, STATION, imp_command_key_revoke,
     "delete an image key at a station: its images are blocked at once",
     "KEY is the key's fingerprint or a file with either half."},
    {"key rotate", "OLD NEW", 2, 2, STATION | O(FINGERPRINT) | O(FINISH) | O(YES), imp_command_key_rotate,
     "change a station over from one image key to another",
     "Grants the new key; both are valid until all images are sealed for the new one and the old ones are "
     "deleted.\n"
     "Then, with --finish, deletes the old key; while an image needs it that is refused. OLD may be a "
     "fingerprint."},
    {"trust sign", "LIST AUTHOR-KEY...", 1, 200, O(ROOT_KEY) | O(NUMBER), imp_command_trust_sign,
     "sign the list of authors whose images the account's stations run",
     "LIST is written anew, with the next number; the authors are those of the key files, under the files' "
     "names,\n"
     "and no others: whoever is left out is blocked when the stations have the list (imprint cloud trust)."},
    {"trust list", "LIST", 1, 1, O(ROOT_KEY), imp_command_trust_list, "show a signed list of authors",
     "With --root-key: only if that key has signed it."},
    {"new", "FILE", 1, 1, O(DEVICE) | O(OUTPUT), imp_command_new,
     "write a recipe to begin with, with comments",
     "FILE is the firmware (app.elf, app.hex, app.bin and so on): then the recipe is app.yaml, or that of "
     "-o. Else\n"
     "FILE is the recipe, which programs firmware.hex from its own folder. No file is overwritten."},
    {"check", "RECIPE", 1, 1, O(DEFINE), imp_command_check,
     "check a recipe with all its inputs: every fault, and what may not be meant",
     "Does all that building does, and writes nothing. Warnings leave the exit status at 0."},
    {"build", "RECIPE", 1, 1, O(OUTPUT) | O(DEFINE), imp_command_build,
     "build a recipe with all its inputs into an object (.impo)", NULL},
    {"seal", "OBJECT", 1, 1,
     O(OUTPUT) | O(AUTHOR_KEY) | O(ENCRYPT_TO) | O(RECIPE) | O(RELEASE) | O(KIND) | O(UNITS) |
         O(MAX_FAILURES) | O(DATES) | O(NUMBERS) | O(FACTORY) | O(CA) | O(DEFINE) | O(RELEASE_BY),
     imp_command_seal, "seal an object into an image (.imp), a SAP or a JOB",
     "What the image may do comes from a release of the recipe (--recipe FILE --release NAME); options "
     "given\n"
     "beside it come first. Each sealing is a new image with a count of its own. A JOB needs the "
     "certificate\n"
     "of its cloud's CA: --ca, or the one that `imprint cloud login` has kept. Beside a JOB's image lies "
     "its\n"
     "registration statement, with the same name and the ending .statement; and, unless --release-by key is "
     "given,\n"
     "the cloud's share, .share, without which no station opens the image: `imprint cloud image register` "
     "hands "
     "it\n"
     "to the cloud.\n"
     "A SAP that takes serial numbers needs a range of its own (--numbers or the release's numbers), which\n"
     "`imprint pool split` takes out of the cloud's pool. Every station that runs the image gives the\n"
     "numbers of this range: load it on one station only."},
    {"inspect", "IMAGE", 1, 1, O(IMAGE_KEY) | O(AUTHOR_KEY) | O(SHARE), imp_command_inspect,
     "say what can be read of an image or an object",
     "Everything of an object and of an image that is not encrypted; with --image-key, everything of one "
     "that is."},
    {"diff", "A B", 2, 2, O(IMAGE_KEY) | O(AUTHOR_KEY) | O(SHARE), imp_command_diff,
     "say in words what differs between two objects or images",
     "Memory is compared byte by byte, steps as a sequence. What each sealing has of its own (ID, digests, "
     "signature)\n"
     "does not count. Without its image key an encrypted image is compared by its clear header."},
    {"verify", "IMAGE", 1, 1, O(IMAGE_KEY) | O(AUTHOR_KEY) | O(SHARE), imp_command_verify,
     "check an image as far as the keys reach, or an object", NULL},
    {"explain", "CODE", 1, 1, 0, imp_command_explain, "explain an error code (E2107)", NULL},

    {"station status", "", 0, 0, STATION, imp_command_station_status, "show ports, images and cloud", NULL},
    {"station images", "", 0, 0, STATION, imp_command_station_images, "list the images of the station", NULL},
    {"station load", "IMAGE", 1, 1, STATION, imp_command_station_load, "load an image file", NULL},
    {"station delete", "IMAGE", 1, 1, STATION, imp_command_station_delete, "delete an image; its counts stay",
     NULL},
    {"station launch", "IMAGE", 1, 1, STATION | O(PORTS) | O(ORDER) | O(SET) | O(BARCODE) | O(VERIFY_ONLY),
     imp_command_station_launch, "program the chips in the ports, and show how it goes on",
     "IMAGE is an image's ID or its name. Ends when every port has ended; the exit status is that of the "
     "worst.\n"
     "Ctrl-C ends only the showing: the launches go on, and `imprint station cancel PORT` ends one."},
    {"station cancel", "PORT", 1, 1, STATION, imp_command_station_cancel,
     "end the launch on a port as soon as the target allows", "A launch's ID will do as well."},
    {"station log", "", 0, 0, STATION | O(ALL) | O(CSV) | O(LIMIT) | O(IMAGE), imp_command_station_log,
     "show the records of launches", NULL},
    {"station keys", "", 0, 0, STATION, imp_command_station_keys,
     "show the station's sealing key and the image keys it was granted", NULL},
    {"station keys add", "GRANT", 1, 1, STATION, imp_command_station_keys_add,
     "load a grant that imprint key grant has made", NULL},
    {"station keys remove", "KEY-ID", 1, 1, STATION, imp_command_station_keys_remove,
     "delete a granted image key; its images are blocked at once", NULL},
    {"station trust", "", 0, 0, STATION, imp_command_station_trust,
     "list the authors whose images the station runs", NULL},
    {"station trust add", "AUTHOR-KEY", 1, 1, STATION | O(NAME), imp_command_station_trust_add,
     "trust an author", NULL},
    {"station trust remove", "KEY-ID", 1, 1, STATION, imp_command_station_trust_remove,
     "trust an author no longer; the author's images are blocked at once", NULL},
    {"station enrol", "[CODE]", 0, 1, STATION | O(CODE_FILE) | O(NAME), imp_command_station_enrol,
     "enrol the station at a cloud with a one-time code", NULL},

    {"pool list", "", 0, 0, CLOUD | STATION | O(STATION), imp_command_pool_list,
     "list serial number pools: what they give next, and how much is left",
     "The cloud's; with --station or --socket those of a station, which gives the numbers of SAPs."},
    {"pool show", "POOL", 1, 1, CLOUD | STATION | O(STATION), imp_command_pool_show,
     "show one serial number pool and its definition", NULL},
    {"pool set-next", "POOL NUMBER", 2, 2, CLOUD | O(REASON), imp_command_pool_set_next,
     "skip ahead to a number; never back", NULL},
    {"pool split", "POOL", 1, 1, CLOUD | O(NUMBER_COUNT) | O(REASON), imp_command_pool_split,
     "take the next numbers out of the cloud's pool for ever, for a SAP",
     "Prints the range, which belongs into the release of the SAP (numbers: A to B) or to imprint seal "
     "--numbers."},

    {"cloud login", "URL", 1, 1, O(USER) | O(PASSWORD_FILE) | O(CA) | O(FINGERPRINT) | O(YES),
     imp_command_cloud_login, "log in at a cloud; later commands work there",
     "URL is https://HOST:PORT. The cloud's CA is believed by --ca, by --fingerprint (the digest of its key, "
     "which\n"
     "the cloud prints at its first start), or after you have compared it. The password is asked for, or "
     "read\n"
     "from --password-file. The token is kept in the user's configuration folder (imprint/cloud.token, mode "
     "0600)."},
    {"cloud logout", "", 0, 0, CLOUD, imp_command_cloud_logout, "revoke the token", NULL},
    {"cloud factory list", "", 0, 0, CLOUD, imp_command_cloud_factory_list, "list factories and their groups",
     NULL},
    {"cloud factory add", "NAME", 1, 1, CLOUD, imp_command_cloud_factory_add, "add a factory", NULL},
    {"cloud group list", "", 0, 0, CLOUD, imp_command_cloud_group_list, "list groups and their factories",
     NULL},
    {"cloud group add", "NAME", 1, 1, CLOUD | O(FACTORY), imp_command_cloud_group_add,
     "add a group of stations to a factory", NULL},
    {"cloud station list", "", 0, 0, CLOUD, imp_command_cloud_station_list, "list the stations", NULL},
    {"cloud station enrol-code", "", 0, 0, CLOUD | O(FACTORY) | O(GROUP) | O(OUTPUT),
     imp_command_cloud_station_code, "make a one-time code that enrols one station",
     "Give it to whoever stands at the station: imprint station enrol. With -o it goes into a file (mode "
     "0600)."},
    {"cloud station remove", "STATION", 1, 1, CLOUD | O(REASON), imp_command_cloud_station_remove,
     "remove a station: it may report what it was permitted before, and nothing else", NULL},
    {"cloud station admit", "STATION", 1, 1, CLOUD | O(REASON), imp_command_cloud_station_admit,
     "lift a station's block after somebody has looked at it", NULL},
    {"cloud author list", "", 0, 0, CLOUD, imp_command_cloud_author_list,
     "list the authors whose images may be registered", NULL},
    {"cloud author add", "AUTHOR-KEY", 1, 1, CLOUD | O(NAME), imp_command_cloud_author_add,
     "allow an author to register images", NULL},
    {"cloud root", "ROOT-KEY", 1, 1, CLOUD, imp_command_cloud_root,
     "say which root key signs the account's list of authors; once",
     "Enrolment codes carry its fingerprint from then on, and stations take lists of authors from nobody "
     "else. "
     "A\n"
     "station that was enrolled before has to be enrolled anew to know it."},
    {"cloud trust", "LIST", 1, 1, CLOUD, imp_command_cloud_trust,
     "hand a signed list of authors to the cloud, which carries it to the stations", NULL},
    {"cloud image list", "", 0, 0, CLOUD, imp_command_cloud_image_list, "list images and their counts", NULL},
    {"cloud image register", "STATEMENT", 1, 1, CLOUD, imp_command_cloud_image_register,
     "register a JOB by its statement: what it is and may do, never its data", NULL},
    {"cloud image upload", "IMAGE", 1, 1, CLOUD, imp_command_cloud_image_upload,
     "hand the encrypted image to the cloud, which delivers it to the stations", NULL},
    {"cloud image pause", "IMAGE", 1, 1, CLOUD | O(REASON), imp_command_cloud_image_pause,
     "begin no unit until it is resumed", NULL},
    {"cloud image resume", "IMAGE", 1, 1, CLOUD | O(REASON), imp_command_cloud_image_resume, "go on", NULL},
    {"cloud image disable", "IMAGE", 1, 1, CLOUD | O(REASON) | O(YES), imp_command_cloud_image_disable,
     "end an image for ever", NULL},
    {"cloud log", "", 0, 0, CLOUD | O(ALL) | O(CSV) | O(LIMIT) | O(IMAGE), imp_command_cloud_log,
     "show the records of all stations", NULL},
};
const gsize imp_cli_command_count = G_N_ELEMENTS(imp_cli_commands);
