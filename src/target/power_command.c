/* A program of the user's that switches the supply: PATH on MILLIVOLTS, PATH off, PATH measure (volts as the first thing on
 * its standard output). Run directly, without a shell. Exit status 0: done; COMMAND_CANNOT: it cannot do that; any other: it
 * failed, and the first line on its standard error says why. It has IMP_POWER_COMMAND_MS; then it is killed with all that it
 * started in its process group. */
#include "target/power-drivers.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND_CANNOT 3 /* exit status */

extern char **environ;

typedef struct {
    ImpPower power;
    const ImpClock *clock;
    char *path;
} CommandPower;

/* What the program wrote: the beginning is kept, the rest is read and thrown away. */
typedef struct {
    int fd; /* -1: closed */
    char text[IMP_POWER_COMMAND_OUTPUT + 1];
    gsize n_bytes;
} Output;

typedef struct {
    pid_t pid;
    int pid_fd;
    Output out, err;
} Run;

/* FALSE: nothing more comes. */
static gboolean take_output(Output *output)
{
    char buffer[IMP_POWER_COMMAND_OUTPUT];
    ssize_t got = read(output->fd, buffer, sizeof buffer);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return errno == EINTR;
    if (got <= 0) {
        close(output->fd);
        output->fd = -1;
        return FALSE;
    }
    gsize kept = MIN((gsize)got, IMP_POWER_COMMAND_OUTPUT - output->n_bytes);
    memcpy(output->text + output->n_bytes, buffer, kept);
    output->n_bytes += kept;
    return TRUE;
}

static gboolean make_pipes(int out[2], int err[2])
{
    if (pipe2(out, O_CLOEXEC) != 0)
        return FALSE;
    if (pipe2(err, O_CLOEXEC) == 0)
        return TRUE;
    close(out[0]);
    close(out[1]);
    return FALSE;
}

/* In a process group of its own, with nothing to read. 0 or an errno. */
static int spawn(Run *run, char *const argv[], int out, int err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, err, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    sigemptyset(&none); /* the port's thread blocks signals; the program shall not */
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    int failed = posix_spawn(&run->pid, argv[0], &files, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return failed;
}

static gboolean start(CommandPower *self, Run *run, char *const argv[], GError **error)
{
    int out[2], err[2];
    if (!make_pipes(out, err)) {
        imp_error_set(error, IMP_E_IO, "%s: a pipe: %s", self->power.name, g_strerror(errno));
        return FALSE;
    }
    int failed = spawn(run, argv, out[1], err[1]);
    close(out[1]);
    close(err[1]);
    run->out.fd = out[0];
    run->err.fd = err[0];
    run->pid_fd = -1;
    if (failed == 0) {
        run->pid_fd = pidfd_open(run->pid, 0);
        if (run->pid_fd >= 0)
            return TRUE;
        failed = errno;
        (void)kill(-run->pid, SIGKILL);
        (void)waitpid(run->pid, NULL, 0);
    }
    close(out[0]);
    close(err[0]);
    imp_error_set(error, IMP_E_POWER_NOT_FOUND, "%s: the program cannot be run: %s", self->power.name,
                  g_strerror(failed));
    return FALSE;
}

/* Reads along until the program has ended or its time is up. */
static gboolean wait_end(CommandPower *self, Run *run)
{
    gint64 end = imp_clock_boot_us(self->clock) + (gint64)IMP_POWER_COMMAND_MS * 1000;
    for (;;) {
        struct pollfd wanted[] = {{.fd = run->pid_fd, .events = POLLIN},
                                  {.fd = run->out.fd, .events = POLLIN},
                                  {.fd = run->err.fd, .events = POLLIN}};
        gint64 left_ms = (end - imp_clock_boot_us(self->clock) + 999) / 1000;
        int got = left_ms > 0 ? poll(wanted, G_N_ELEMENTS(wanted), (int)left_ms) : 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return FALSE;
        if (wanted[1].revents != 0)
            take_output(&run->out);
        if (wanted[2].revents != 0)
            take_output(&run->err);
        if (wanted[0].revents != 0)
            return TRUE;
    }
}

/* What is still in the pipe; a child of the program may hold it open, so nobody waits for its end. */
static void finish_output(Output *output)
{
    if (output->fd < 0)
        return;
    (void)fcntl(output->fd, F_SETFL, O_NONBLOCK);
    for (guint i = 0; i < IMP_POWER_COMMAND_OUTPUT && take_output(output); i++)
        ;
    if (output->fd >= 0)
        close(output->fd);
    output->fd = -1;
}

static void fail_status(CommandPower *self, const Run *run, int status, const char *verb, GError **error)
{
    gsize first_line = strcspn(run->err.text, "\r\n");
    g_autofree char *line = g_strndup(run->err.text, first_line);
    g_autofree char *why = g_strescape(line, NULL);
    if (WIFEXITED(status) && WEXITSTATUS(status) == COMMAND_CANNOT)
        imp_error_set(error, IMP_E_POWER_UNSUPPORTED, "%s: it cannot do \"%s\"%s%s", self->power.name, verb,
                      *why ? ": " : "", why);
    else if (WIFEXITED(status))
        imp_error_set(error, IMP_E_POWER_REFUSED, "%s: \"%s\" ended with status %d%s%s", self->power.name,
                      verb, WEXITSTATUS(status), *why ? ": " : "", why);
    else
        imp_error_set(error, IMP_E_POWER_REFUSED, "%s: \"%s\" was ended by signal %d", self->power.name, verb,
                      WTERMSIG(status));
}

/* out: its standard output, NUL-terminated; may be NULL. */
static gboolean run_program(CommandPower *self, const char *verb, const char *argument, char *out,
                            GError **error)
{
    Run run = {.pid = 0};
    char *argv[] = {self->path, (char *)verb, (char *)argument, NULL};
    if (!start(self, &run, argv, error))
        return FALSE;
    gboolean ended = wait_end(self, &run);
    if (!ended)
        (void)kill(-run.pid, SIGKILL);
    int status = 0;
    while (waitpid(run.pid, &status, 0) < 0)
        if (errno != EINTR) {
            status = -1; /* somebody else took it: not known how it ended, so not done */
            break;
        }
    close(run.pid_fd);
    finish_output(&run.out);
    finish_output(&run.err);
    if (!ended) {
        imp_error_set(error, IMP_E_POWER_TIMEOUT, "%s: \"%s\" did not end within %d s and was killed",
                      self->power.name, verb, IMP_POWER_COMMAND_MS / 1000);
        return FALSE;
    }
    if (status != 0) {
        fail_status(self, &run, status, verb, error);
        return FALSE;
    }
    if (out != NULL)
        memcpy(out, run.out.text, sizeof run.out.text);
    return TRUE;
}

static gboolean command_on(ImpPower *power, guint32 millivolts, GError **error)
{
    char text[16];
    g_snprintf(text, sizeof text, "%u", millivolts);
    return run_program((CommandPower *)power, "on", text, NULL, error);
}

static gboolean command_off(ImpPower *power, GError **error)
{
    return run_program((CommandPower *)power, "off", NULL, NULL, error);
}

static gboolean command_measure(ImpPower *power, guint32 *out_millivolts, GError **error)
{
    char text[IMP_POWER_COMMAND_OUTPUT + 1];
    if (!run_program((CommandPower *)power, "measure", NULL, text, error))
        return FALSE;
    if (imp_power_parse_volts(text, strcspn(text, "\n"), out_millivolts))
        return TRUE;
    g_autofree char *printable = g_strescape(text, NULL);
    imp_error_set(error, IMP_E_POWER_PROTOCOL, "%s: \"measure\" printed \"%.64s\", not volts such as 3.300",
                  power->name, printable);
    return FALSE;
}

static void command_close(ImpPower *power)
{
    CommandPower *self = (CommandPower *)power;
    g_free(self->path);
    g_free(self);
}

ImpPower *imp_power_command_open(const char *path, const ImpClock *clock, GError **error)
{
    static const ImpPowerOps ops = {command_on, command_off, command_measure, command_close};
    if (path[0] != '/') {
        imp_error_set(error, IMP_E_ARGUMENT,
                      "\"command:%s\": write the program's whole path, such as command:/usr/local/bin/relay",
                      path);
        return NULL;
    }
    if (access(path, X_OK) != 0) {
        imp_error_set(error, IMP_E_POWER_NOT_FOUND, "command:%s: %s", path, g_strerror(errno));
        return NULL;
    }
    CommandPower *self = g_new0(CommandPower, 1);
    self->power.ops = &ops;
    self->power.switches = TRUE;
    g_snprintf(self->power.name, sizeof self->power.name, "command:%s", path);
    self->clock = clock;
    self->path = g_strdup(path);
    return &self->power;
}
