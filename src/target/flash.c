#include "target/flash.h"

#include "base/error.h"
#include "target/crc32.h"
#include "target/runner.h"

#include <string.h>

#define MISMATCH_BYTES 4 /* shown of a difference */
#define ERASE_RUN_MAX  (16u * 1024 * 1024) /* bytes of one erase command */

struct ImpFlash {
    ImpTarget *target;
    const ImpDevice *device;
    ImpRunner *runner; /* NULL until needed */
    const ImpAlgorithm *loaded[IMP_DEVICE_ALGORITHMS_MAX];
    gsize n_loaded;
    guint8 *blank
        [IMP_DEVICE_ALGORITHMS_MAX]; /* for each of the device's algorithms and page: erased since open */
    gboolean failed;

    /* of the job that runs */
    const ImpFlashJob *job;
    ImpFlashResult result;
    guint64 erase_done, erase_total, program_done, program_total, verify_done, verify_total;
};

static void tell(ImpFlash *flash, ImpFlashPhase phase, guint64 done, guint64 total)
{
    if (flash->job->progress != NULL)
        flash->job->progress(flash->job->progress_user, phase, MIN(done, total), total);
}

static void on_erased(gpointer user, guint64 bytes)
{
    ImpFlash *flash = user;
    flash->erase_done += bytes;
    tell(flash, IMP_FLASH_PHASE_ERASE, flash->erase_done, flash->erase_total);
}

static void on_programmed(gpointer user, guint64 bytes)
{
    ImpFlash *flash = user;
    flash->program_done += bytes;
    tell(flash, IMP_FLASH_PHASE_PROGRAM, flash->program_done, flash->program_total);
}

static void on_checked(gpointer user, guint64 bytes)
{
    ImpFlash *flash = user;
    flash->verify_done += bytes;
    tell(flash, IMP_FLASH_PHASE_VERIFY, flash->verify_done, flash->verify_total);
}

static gsize index_in_device(const ImpFlash *flash, const ImpAlgorithm *algorithm)
{
    for (gsize i = 0; i < flash->device->n_algorithms; i++)
        if (flash->device->algorithms[i] == algorithm)
            return i;
    g_assert_not_reached();
}

static gsize page_count(const ImpAlgorithm *algorithm)
{
    return (gsize)((algorithm->size_bytes + algorithm->page_bytes - 1) / algorithm->page_bytes);
}

/* An algorithm comes from a file: what the engine relies on is looked at here. */
static gboolean check_algorithm(const ImpAlgorithm *a, GError **error)
{
    gboolean fits = a->page_bytes > 0 && a->page_bytes <= IMP_ALGORITHM_PAGE_MAX && a->size_bytes > 0 &&
                    a->size_bytes <= G_MAXUINT32 && a->start <= G_MAXUINT32 - (a->size_bytes - 1) &&
                    a->n_sectors > 0 && a->sectors[0].start <= a->start;
    gsize blob_bytes = g_bytes_get_size(a->blob);
    const guint32 entries[] = {a->init, a->uninit, a->erase_sector, a->program_page};
    for (gsize i = 0; i < G_N_ELEMENTS(entries); i++)
        fits = fits && entries[i] < blob_bytes;
    fits = fits && (a->erase_chip == IMP_ENTRY_NONE || a->erase_chip < blob_bytes) &&
           a->static_base <= blob_bytes;
    for (gsize i = 0; fits && i < a->n_sectors; i++)
        fits = a->sectors[i].size_bytes > 0 && a->sectors[i].size_bytes <= a->size_bytes;
    if (!fits)
        imp_error_set(error, IMP_E_ARGUMENT, "flash algorithm %s does not hold together", a->name);
    return fits;
}

ImpFlash *imp_flash_open(ImpTarget *target, const ImpDevice *device, GError **error)
{
    g_autoptr(ImpFlash) flash = g_new0(ImpFlash, 1);
    flash->target = target;
    flash->device = device;
    g_assert(device->n_algorithms <= IMP_DEVICE_ALGORITHMS_MAX);
    for (gsize i = 0; i < device->n_algorithms; i++) {
        const ImpAlgorithm *a = device->algorithms[i];
        if (!check_algorithm(a, error))
            return NULL;
        if (!imp_runner_fits(device, &a, 1)) {
            imp_error_set(error, IMP_E_RAM_TOO_SMALL,
                          "%s: %u bytes of RAM do not hold flash algorithm %s and two pages of %u bytes",
                          device->name, device->ram_bytes, a->name, a->page_bytes);
            return NULL;
        }
        flash->blank[i] = g_malloc0(page_count(a));
    }
    return g_steal_pointer(&flash);
}

static void unload(ImpFlash *flash)
{
    imp_runner_stop(flash->runner);
    flash->runner = NULL;
    flash->n_loaded = 0;
}

void imp_flash_close(ImpFlash *flash)
{
    if (flash == NULL)
        return;
    unload(flash);
    for (gsize i = 0; i < G_N_ELEMENTS(flash->blank); i++)
        g_free(flash->blank[i]);
    g_free(flash);
}

/* Pages: the segments cut at the pages of their algorithms; bytes of a page that no segment has are blank. */
typedef struct {
    const ImpAlgorithm *algorithm;
    guint64 address;
    gboolean all_blank;
    guint8 bytes[IMP_ALGORITHM_PAGE_MAX];
} Page;

typedef struct {
    const ImpFlash *flash;
    gsize segment;
    gsize offset; /* in it */
} PageWalk;

/* Every segment lies in the range of algorithms, so the walk itself cannot fail. */
static gboolean next_page(PageWalk *walk, Page *page)
{
    const ImpFlashJob *job = walk->flash->job;
    page->algorithm = NULL;
    for (; walk->segment < job->n_segments; walk->segment++, walk->offset = 0) {
        const ImpFlashSegment *segment = &job->segments[walk->segment];
        gsize n_bytes;
        const guint8 *bytes = g_bytes_get_data(segment->bytes, &n_bytes);
        if (walk->offset >= n_bytes)
            continue;
        guint64 address = segment->address + walk->offset;
        if (page->algorithm == NULL) {
            const ImpAlgorithm *a = imp_device_algorithm_at(walk->flash->device, address, 1);
            page->algorithm = a;
            page->address = address - (address - a->start) % a->page_bytes;
            memset(page->bytes, a->erased_byte, a->page_bytes);
        }
        guint64 in_page = address - page->address;
        if (in_page >= page->algorithm->page_bytes)
            break;
        gsize now = MIN(n_bytes - walk->offset, page->algorithm->page_bytes - (gsize)in_page);
        memcpy(page->bytes + in_page, bytes + walk->offset, now);
        walk->offset += now;
        if (walk->offset < n_bytes)
            break; /* the page is full */
    }
    if (page->algorithm == NULL)
        return FALSE;
    guint8 blank = page->algorithm->erased_byte;
    page->all_blank =
        page->bytes[0] == blank && memcmp(page->bytes, page->bytes + 1, page->algorithm->page_bytes - 1) == 0;
    return TRUE;
}

static guint8 *page_mark(ImpFlash *flash, const Page *page)
{
    gsize index = (gsize)((page->address - page->algorithm->start) / page->algorithm->page_bytes);
    return &flash->blank[index_in_device(flash, page->algorithm)][index];
}

static gboolean skip_page(ImpFlash *flash, const Page *page)
{
    return page->all_blank && *page_mark(flash, page) != 0;
}

/* One sector to erase. */
typedef struct {
    const ImpAlgorithm *algorithm;
    guint64 start;
    guint32 size_bytes;
} Sector;

static void add_sector(ImpFlash *flash, GArray *sectors, guint64 address)
{
    Sector sector = {.algorithm = imp_device_algorithm_at(flash->device, address, 1)};
    imp_algorithm_sector_at(sector.algorithm, address, &sector.start, &sector.size_bytes);
    g_array_append_val(sectors, sector);
}

static gint compare_sectors(gconstpointer a, gconstpointer b)
{
    const Sector *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

/* TRUE if erasing everything erases this algorithm's memory: not option bytes, and what else is left alone. */
static gboolean is_of_all(const ImpDevice *device, gsize i)
{
    return (int)i != device->unlock_algorithm && !device->algorithms[i]->spared;
}

/* TRUE if erasing everything takes EraseChip of this algorithm: of the one that erases all, or where there is none such, of
 * each that has it. */
static gboolean is_mass_erased(const ImpDevice *device, gsize i)
{
    if (device->erase_all_algorithm >= 0)
        return (int)i == device->erase_all_algorithm;
    return is_of_all(device, i) && device->algorithms[i]->erase_chip != IMP_ENTRY_NONE;
}

/* Erasing everything where nothing does it at once: sector by sector what has no EraseChip. */
static void add_whole(ImpFlash *flash, GArray *sectors)
{
    const ImpDevice *device = flash->device;
    for (gsize i = 0; device->erase_all_algorithm < 0 && i < device->n_algorithms; i++) {
        const ImpAlgorithm *a = device->algorithms[i];
        for (guint64 at = a->start;
             is_of_all(device, i) && !is_mass_erased(device, i) && at < a->start + a->size_bytes;) {
            add_sector(flash, sectors, at);
            const Sector *last = &g_array_index(sectors, Sector, sectors->len - 1);
            at = last->start + last->size_bytes;
        }
    }
}

/* The sectors to erase, sorted, each once. */
static GArray *list_sectors(ImpFlash *flash)
{
    const ImpFlashJob *job = flash->job;
    GArray *sectors = g_array_new(FALSE, FALSE, sizeof(Sector));
    if (job->erase == IMP_FLASH_ERASE_ALL)
        add_whole(flash, sectors);
    for (gsize i = 0; job->erase == IMP_FLASH_ERASE_SECTORS && i < job->n_sectors; i++)
        add_sector(flash, sectors, job->sectors[i]);
    for (gsize i = 0; job->erase == IMP_FLASH_ERASE_USED && i < job->n_segments; i++) {
        guint64 end = job->segments[i].address + g_bytes_get_size(job->segments[i].bytes);
        for (guint64 at = job->segments[i].address; at < end;) {
            add_sector(flash, sectors, at);
            const Sector *last = &g_array_index(sectors, Sector, sectors->len - 1);
            at = last->start + last->size_bytes;
        }
    }
    g_array_sort(sectors, compare_sectors);
    for (guint i = 1; i < sectors->len;)
        if (g_array_index(sectors, Sector, i).start == g_array_index(sectors, Sector, i - 1).start)
            g_array_remove_index(sectors, i);
        else
            i++;
    return sectors;
}

static gboolean no_algorithm(ImpFlash *flash, guint64 address, GError **error)
{
    imp_error_set_at(error, IMP_E_NO_ALGORITHM, address, NULL, NULL, 0,
                     "%s: no flash algorithm covers 0x%08" G_GINT64_MODIFIER "X", flash->device->name,
                     address);
    return FALSE;
}

static gboolean check_segments(ImpFlash *flash, GError **error)
{
    const ImpFlashJob *job = flash->job;
    guint64 end = 0, sum = 0;
    if (job->n_segments > IMP_FLASH_SEGMENTS_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "%zu segments; at most %d", job->n_segments,
                      IMP_FLASH_SEGMENTS_MAX);
        return FALSE;
    }
    for (gsize i = 0; i < job->n_segments; i++) {
        guint64 address = job->segments[i].address;
        gsize n_bytes = g_bytes_get_size(job->segments[i].bytes);
        sum += n_bytes;
        if (sum > IMP_FLASH_BYTES_MAX || address < end) {
            imp_error_set(error, IMP_E_ARGUMENT,
                          "segment %zu at 0x%08" G_GINT64_MODIFIER "X: not in order, or too much in sum", i,
                          address);
            return FALSE;
        }
        end = address + n_bytes;
        for (guint64 at = address;
             at < end;) { /* a segment may go from one algorithm's range into the next */
            const ImpAlgorithm *a = imp_device_algorithm_at(flash->device, at, 1);
            if (a == NULL)
                return no_algorithm(flash, at, error);
            at = a->start + a->size_bytes;
        }
    }
    return TRUE;
}

static gboolean check_job(ImpFlash *flash, GError **error)
{
    const ImpFlashJob *job = flash->job;
    const ImpDevice *device = flash->device;
    if (flash->failed) {
        imp_error_set(error, IMP_E_STATE, "an earlier job on this chip failed");
        return FALSE;
    }
    for (gsize i = 0; job->erase == IMP_FLASH_ERASE_SECTORS && i < job->n_sectors; i++)
        if (imp_device_algorithm_at(device, job->sectors[i], 1) == NULL)
            return no_algorithm(flash, job->sectors[i], error);
    if (job->erase == IMP_FLASH_ERASE_ALL && !imp_device_can_erase_all(device)) {
        imp_error_set(error, IMP_E_NO_ALGORITHM, "%s: there is no way to erase everything", device->name);
        return FALSE;
    }
    return check_segments(flash, error);
}

/* Starts the runner with the algorithms that the job needs and those that are there already. */
static gboolean load(ImpFlash *flash, const GArray *sectors, GError **error)
{
    const ImpFlashJob *job = flash->job;
    const ImpDevice *device = flash->device;
    gboolean need[IMP_DEVICE_ALGORITHMS_MAX] = {0}, have[IMP_DEVICE_ALGORITHMS_MAX] = {0};
    for (gsize i = 0; job->erase == IMP_FLASH_ERASE_ALL && i < device->n_algorithms; i++)
        need[i] = is_mass_erased(device, i);
    for (guint i = 0; i < sectors->len; i++)
        need[index_in_device(flash, g_array_index(sectors, Sector, i).algorithm)] = TRUE;
    for (gsize i = 0; i < job->n_segments; i++) {
        guint64 at = job->segments[i].address, end = at + g_bytes_get_size(job->segments[i].bytes);
        while (at < end) {
            const ImpAlgorithm *a = imp_device_algorithm_at(device, at, 1);
            need[index_in_device(flash, a)] = TRUE;
            at = a->start + a->size_bytes;
        }
    }
    for (gsize i = 0; i < flash->n_loaded; i++)
        have[index_in_device(flash, flash->loaded[i])] = TRUE;
    gboolean more = flash->runner == NULL;
    for (gsize i = 0; i < device->n_algorithms; i++)
        more = more || (need[i] && !have[i]);
    if (!more)
        return TRUE;
    unload(flash);
    for (gsize i = 0; i < device->n_algorithms; i++)
        if (need[i] || have[i])
            flash->loaded[flash->n_loaded++] = device->algorithms[i];
    const ImpRunnerEvents events = {on_erased, on_programmed, on_checked, flash};
    flash->runner = imp_runner_start(flash->target, device, flash->loaded, flash->n_loaded, &events, error);
    return flash->runner != NULL;
}

static gsize index_loaded(const ImpFlash *flash, const ImpAlgorithm *algorithm)
{
    for (gsize i = 0; i < flash->n_loaded; i++)
        if (flash->loaded[i] == algorithm)
            return i;
    g_assert_not_reached();
}

/* Notes which pages the job's erases leave blank. If an erase fails, the whole flash object does. */
static void mark_blank(ImpFlash *flash, const GArray *sectors)
{
    const ImpDevice *device = flash->device;
    for (gsize i = 0; flash->job->erase == IMP_FLASH_ERASE_ALL && i < device->n_algorithms; i++)
        if (is_of_all(device, i))
            memset(flash->blank[i], 1, page_count(device->algorithms[i]));
    for (guint i = 0; i < sectors->len; i++) {
        const Sector *sector = &g_array_index(sectors, Sector, i);
        const ImpAlgorithm *a = sector->algorithm;
        guint8 *marks = flash->blank[index_in_device(flash, a)];
        guint64 begin =
            sector->start < a->start ? 0 : sector->start - a->start; /* in the algorithm's range */
        guint64 end = sector->start + sector->size_bytes - a->start;
        for (guint64 k = (begin + a->page_bytes - 1) / a->page_bytes;
             k < end / a->page_bytes && k < page_count(a); k++)
            marks[k] = 1;
    }
}

static gboolean erase_all(ImpFlash *flash, GError **error)
{
    const ImpDevice *device = flash->device;
    for (gsize i = 0; i < device->n_algorithms; i++)
        if (is_mass_erased(device, i) &&
            !imp_runner_erase_chip(flash->runner, index_loaded(flash, device->algorithms[i]), error))
            return FALSE;
    return TRUE;
}

/* TRUE if the sectors are all that a mass erase would take, so that one may stand for those of its own algorithm. */
static gboolean is_everything(const ImpFlash *flash, const GArray *sectors)
{
    const ImpDevice *device = flash->device;
    guint64 bytes[IMP_DEVICE_ALGORITHMS_MAX] = {0};
    if (device->erase_all_algorithm < 0 ||
        device->algorithms[device->erase_all_algorithm]->erase_chip == IMP_ENTRY_NONE || sectors->len < 2)
        return FALSE;
    for (guint i = 0; i < sectors->len; i++) {
        const Sector *sector = &g_array_index(sectors, Sector, i);
        bytes[index_in_device(flash, sector->algorithm)] += sector->size_bytes;
    }
    for (gsize i = 0; i < device->n_algorithms; i++)
        if (is_of_all(device, i) && bytes[i] < device->algorithms[i]->size_bytes)
            return FALSE;
    return TRUE;
}

/* Neighbouring sectors of one size go into one command; all there are into a mass erase, and then those that it may leave. */
static gboolean erase_sectors(ImpFlash *flash, const GArray *sectors, GError **error)
{
    const ImpAlgorithm *done = NULL;
    if (is_everything(flash, sectors)) {
        done = flash->device->algorithms[flash->device->erase_all_algorithm];
        if (!erase_all(flash, error))
            return FALSE;
        flash->result.bytes_erased += done->size_bytes;
    }
    for (guint i = 0; i < sectors->len;) {
        const Sector *first = &g_array_index(sectors, Sector, i);
        if (first->algorithm == done) {
            i++;
            continue;
        }
        guint64 size = 0;
        for (; i < sectors->len; i++) {
            const Sector *next = &g_array_index(sectors, Sector, i);
            if (next->algorithm != first->algorithm || next->size_bytes != first->size_bytes ||
                next->start != first->start + size || size >= ERASE_RUN_MAX)
                break;
            size += next->size_bytes;
        }
        if (!imp_runner_erase(flash->runner, index_loaded(flash, first->algorithm), (guint32)first->start,
                              (guint32)size, first->size_bytes, error))
            return FALSE;
        flash->result.bytes_erased += size;
    }
    flash->result.sectors_erased = sectors->len;
    return TRUE;
}

static gboolean program(ImpFlash *flash, Page *page, GError **error)
{
    PageWalk walk = {.flash = flash};
    while (next_page(&walk, page)) {
        const ImpAlgorithm *a = page->algorithm;
        if (skip_page(flash, page)) {
            flash->result.bytes_skipped += a->page_bytes;
            continue;
        }
        if (!imp_runner_program(flash->runner, index_loaded(flash, a), (guint32)page->address, page->bytes,
                                error))
            return FALSE;
        *page_mark(flash, page) = 0;
        flash->result.bytes_programmed += a->page_bytes;
    }
    return TRUE;
}

static void count_work(ImpFlash *flash, const GArray *sectors, Page *page)
{
    const ImpFlashJob *job = flash->job;
    for (gsize i = 0; job->erase == IMP_FLASH_ERASE_ALL && i < flash->device->n_algorithms; i++)
        flash->erase_total += is_mass_erased(flash->device, i);
    for (guint i = 0; i < sectors->len; i++)
        flash->erase_total += g_array_index(sectors, Sector, i).size_bytes;
    for (gsize i = 0; i < job->n_segments; i++)
        flash->verify_total += g_bytes_get_size(job->segments[i].bytes);
    PageWalk walk = {.flash = flash};
    while (job->program && next_page(&walk, page))
        if (!skip_page(flash, page))
            flash->program_total += page->algorithm->page_bytes;
}

static gboolean work(ImpFlash *flash, const GArray *sectors, GError **error)
{
    const ImpFlashJob *job = flash->job;
    g_autofree Page *page = g_new(Page, 1);
    mark_blank(flash, sectors);
    count_work(flash, sectors, page);
    gboolean nothing = flash->erase_total == 0 && !job->program;
    if (!nothing && !load(flash, sectors, error))
        return FALSE;
    const ImpClock *clock = flash->target->clock;
    flash->result.work_begin_us = imp_clock_boot_us(clock);
    if (!nothing) {
        if ((job->erase == IMP_FLASH_ERASE_ALL && !erase_all(flash, error)) ||
            !erase_sectors(flash, sectors, error) || (job->program && !program(flash, page, error)) ||
            !imp_runner_finish(flash->runner, error))
            return FALSE;
    }
    flash->result.work_end_us = imp_clock_boot_us(clock);
    return TRUE;
}

/* Compares what the chip holds at address with bytes; TRUE if equal. */
static gboolean compare(guint64 address, const guint8 *bytes, const guint8 *found, gsize n_bytes,
                        GError **error)
{
    for (gsize i = 0; i < n_bytes; i++) {
        if (bytes[i] == found[i])
            continue;
        gsize from = i - MIN(i, (address + i) % MISMATCH_BYTES);
        gsize shown = MIN(MISMATCH_BYTES, n_bytes - from);
        g_autofree char *want = g_strdup(""), *got = g_strdup("");
        guint missing = 0, extra = 0;
        for (gsize k = from; k < from + shown; k++) {
            char *longer = g_strdup_printf("%s %02X", want, bytes[k]);
            g_free(want);
            want = longer;
            longer = g_strdup_printf("%s %02X", got, found[k]);
            g_free(got);
            got = longer;
            missing |= bytes[k] & ~found[k];
            extra |= found[k] & ~bytes[k];
        }
        const char *bits = missing == 0 ? "bits that should be 0 are 1"
                           : extra == 0 ? "bits that should be 1 are 0"
                                        : "bits differ both ways";
        imp_error_set_at(error, IMP_E_FLASH_MISMATCH, address + from, bytes + from, found + from, shown,
                         "0x%08" G_GINT64_MODIFIER "X: expected%s, found%s (%s)", address + from, want, got,
                         bits);
        return FALSE;
    }
    return TRUE;
}

static gboolean read_back(ImpFlash *flash, guint64 address, const guint8 *bytes, gsize n_bytes,
                          GError **error)
{
    g_autofree guint8 *found = g_malloc(n_bytes);
    return imp_target_read(flash->target, address, found, n_bytes, error) &&
           compare(address, bytes, found, n_bytes, error);
}

static gboolean verify_by_reading(ImpFlash *flash, GError **error)
{
    const ImpFlashJob *job = flash->job;
    for (gsize i = 0; i < job->n_segments; i++) {
        gsize n_bytes;
        const guint8 *bytes = g_bytes_get_data(job->segments[i].bytes, &n_bytes);
        for (gsize at = 0; at < n_bytes;) {
            gsize now = MIN(n_bytes - at, 64 * 1024);
            if (!read_back(flash, job->segments[i].address + at, bytes + at, now, error))
                return FALSE;
            at += now;
            on_checked(flash, now);
        }
    }
    return TRUE;
}

/* A checksum that differs is looked at byte by byte, so that the error can say where. */
static gboolean judge(ImpFlash *flash, const ImpRunnerCheck *check, const guint8 *bytes, GError **error)
{
    if (check->crc == imp_crc32(bytes, check->size_bytes))
        return TRUE;
    if (read_back(flash, check->address, bytes, check->size_bytes, error))
        imp_error_set_at(
            error, IMP_E_FLASH_MISMATCH, check->address, NULL, NULL, 0,
            "0x%08X: the checksum over %u bytes differs, but read back they are equal: unsteady memory",
            check->address, check->size_bytes);
    return FALSE;
}

static gboolean verify_by_checksum(ImpFlash *flash, GError **error)
{
    const ImpFlashJob *job = flash->job;
    g_autoptr(GArray) checks = g_array_new(FALSE, TRUE, sizeof(ImpRunnerCheck));
    g_autoptr(GPtrArray) contents = g_ptr_array_new(); /* borrowed: where each one's bytes are */
    for (gsize i = 0; i < job->n_segments; i++) {
        gsize n_bytes;
        const guint8 *bytes = g_bytes_get_data(job->segments[i].bytes, &n_bytes);
        for (gsize at = 0; at < n_bytes; at += IMP_RUNNER_CHUNK_MAX) {
            ImpRunnerCheck check = {.address = (guint32)(job->segments[i].address + at),
                                    .size_bytes = (guint32)MIN(n_bytes - at, IMP_RUNNER_CHUNK_MAX)};
            g_array_append_val(checks, check);
            g_ptr_array_add(contents, (gpointer)(bytes + at));
        }
    }
    if (!imp_runner_check(flash->runner, (ImpRunnerCheck *)checks->data, checks->len, error))
        return FALSE;
    for (guint i = 0; i < checks->len; i++)
        if (!judge(flash, &g_array_index(checks, ImpRunnerCheck, i), contents->pdata[i], error))
            return FALSE;
    return TRUE;
}

static ImpFlashVerify choose_verify(const ImpFlash *flash)
{
    if (flash->job->verify != IMP_FLASH_VERIFY_NONE && !flash->target->runs_beside)
        return IMP_FLASH_VERIFY_READ_BACK;
    if (flash->job->verify != IMP_FLASH_VERIFY_FASTEST)
        return flash->job->verify;
    /* A checksum costs at least one look more than the data's own way. */
    const ImpAdi *adi = &imp_swd(flash->target)->adi;
    gdouble read_us = imp_adi_read_us(adi, flash->verify_total);
    gdouble check_us = flash->device->core_hz == 0 ? read_us
                                                   : (gdouble)flash->verify_total * IMP_RUNNER_CRC_CYCLES *
                                                             1e6 / flash->device->core_hz +
                                                         2 * imp_adi_read_us(adi, IMP_RUNNER_CHECK_BYTES);
    return check_us < read_us ? IMP_FLASH_VERIFY_CHECKSUM : IMP_FLASH_VERIFY_READ_BACK;
}

static gboolean verify(ImpFlash *flash, const GArray *sectors, GError **error)
{
    ImpFlashVerify how = choose_verify(flash);
    flash->result.verified_by = how;
    gboolean good = TRUE;
    if (how == IMP_FLASH_VERIFY_CHECKSUM)
        good = load(flash, sectors, error) && verify_by_checksum(flash, error);
    else if (how == IMP_FLASH_VERIFY_READ_BACK)
        good = verify_by_reading(flash, error);
    if (good && how != IMP_FLASH_VERIFY_NONE)
        flash->result.bytes_verified = flash->verify_total;
    flash->result.verify_end_us = imp_clock_boot_us(flash->target->clock);
    return good;
}

gboolean imp_flash_run(ImpFlash *flash, const ImpFlashJob *job, ImpFlashResult *out_result, GError **error)
{
    flash->job = job;
    flash->result = (ImpFlashResult){.verified_by = IMP_FLASH_VERIFY_NONE};
    flash->erase_done = flash->erase_total = flash->program_done = flash->program_total = 0;
    flash->verify_done = flash->verify_total = 0;
    if (!check_job(flash, error)) {
        flash->job = NULL;
        return FALSE;
    }
    g_autoptr(GArray) sectors = list_sectors(flash);
    GError *why = NULL;
    gboolean good = work(flash, sectors, &why);
    if (!good)
        imp_error_set_step(&why, flash->job->program ? "program" : "erase");
    else if (!(good = verify(flash, sectors, &why)))
        imp_error_set_step(&why, "verify");
    flash->job = NULL;
    if (good) {
        if (out_result != NULL)
            *out_result = flash->result;
        return TRUE;
    }
    flash->failed = TRUE;
    g_propagate_error(error, why);
    return FALSE;
}
