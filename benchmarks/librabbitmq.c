/*
 * librabbitmq, with bodies that are bytes already.
 *
 *   librabbitmq MODE PORT QUEUE SIZE COUNT
 *
 * prints one line of JSON; what the arguments mean is written in job.py.
 * consume-multiple acks every 50th message, and those before it with it.
 * publish-slowed takes 8 microseconds of CPU more for each message.
 */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WINDOW = 200, WINDOW_BYTES = 16 << 20 };
enum { MULTIPLE = 50, DISTINCT = 2000, CHANNEL = 1 };
static const double MORE_CPU = 8e-6; /* seconds */

static amqp_connection_state_t connection;
static amqp_bytes_t queue;
static amqp_basic_properties_t properties;
static char *bodies[DISTINCT];
static size_t size;
static int count;

static void fail(const char *what) {
    fprintf(stderr, "librabbitmq: %s failed\n", what);
    exit(1);
}

static void check(int status, const char *what) {
    if (status != AMQP_STATUS_OK) {
        fprintf(stderr, "%s\n", amqp_error_string2(status));
        fail(what);
    }
}

static void check_reply(const char *what) {
    if (amqp_get_rpc_reply(connection).reply_type != AMQP_RESPONSE_NORMAL)
        fail(what);
}

/* --- times --------------------------------------------------------------- */

static double now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static double wall, cpu;

static void start_watch(void) {
    wall = now(CLOCK_MONOTONIC);
    cpu = now(CLOCK_PROCESS_CPUTIME_ID);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(double *seconds) {
    double rate = count / (now(CLOCK_MONOTONIC) - wall);
    double used = (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) / count * 1e6;
    double p50 = 0, p99 = 0;
    if (seconds) {
        qsort(seconds, count, sizeof *seconds, compare);
        p50 = seconds[count / 2] * 1e6;
        p99 = seconds[(int)(count * 0.99)] * 1e6;
    }
    printf("{\"rate\": %f, \"cpu\": %f, \"p50\": %f, \"p99\": %f}\n", rate, used,
           p50, p99);
}

/* --- what every mode does ------------------------------------------------ */

/* Write what is before the text; return how long it is. */
static size_t begin_body(char *body, int number) {
    if (size < 200)
        return sprintf(body, "{\"number\": %d, \"text\": \"", number);
    return sprintf(
        body,
        "{\"action\": \"import_feed\", \"feed_url\": "
        "\"http://example.org/feeds/%d/edition.rss\", \"attempt\": %d, "
        "\"tags\": [\"news\", \"section-%d\"], \"weight\": %.1f, \"text\": \"",
        number, number % 7, number % 31, number / 8.0);
}

static void make_bodies(void) {
    for (int number = 0; number < DISTINCT; number++) {
        char *body = bodies[number] = malloc(size + 256);
        if (!body)
            fail("malloc");
        size_t used = begin_body(body, number);
        if (used + 2 > size)
            fail("a body that small");
        while (used < size - 2)
            body[used] = 'a' + (used + number) % 26, used++;
        memcpy(body + used, "\"}", 2);
    }
}

static void publish_one(int number) {
    amqp_bytes_t body = {size, bodies[number % DISTINCT]};
    check(amqp_basic_publish(connection, CHANNEL, amqp_empty_bytes, queue, 0, 0,
                             &properties, body),
          "publish");
}

static void start_consuming(void) {
    amqp_basic_qos(connection, CHANNEL, 0, WINDOW, 0);
    check_reply("qos");
    amqp_basic_consume(connection, CHANNEL, queue, amqp_empty_bytes, 0, 0, 0,
                       amqp_empty_table);
    check_reply("consume");
}

static uint64_t receive(void) {
    amqp_envelope_t envelope;
    amqp_maybe_release_buffers(connection);
    amqp_rpc_reply_t reply =
        amqp_consume_message(connection, &envelope, NULL, 0);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        fail("receiving");
    uint64_t tag = envelope.delivery_tag;
    amqp_destroy_envelope(&envelope);
    return tag;
}

/* --- the modes ----------------------------------------------------------- */

static void use_cpu(double seconds) {
    double end = now(CLOCK_PROCESS_CPUTIME_ID) + seconds;
    while (now(CLOCK_PROCESS_CPUTIME_ID) < end)
        ;
}

static void publish(double more_cpu) {
    start_watch();
    for (int number = 0; number < count; number++) {
        publish_one(number);
        if (more_cpu)
            use_cpu(more_cpu);
    }
    amqp_queue_declare(connection, CHANNEL, queue, 1, 0, 0, 0, amqp_empty_table);
    check_reply("declare");
    report(NULL);
}

static uint64_t confirmed_up_to(uint64_t confirmed) {
    amqp_frame_t frame;
    amqp_maybe_release_buffers(connection);
    check(amqp_simple_wait_frame(connection, &frame), "waiting for confirms");
    if (frame.frame_type != AMQP_FRAME_METHOD ||
        frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
        fail("a confirm");
    amqp_basic_ack_t *ack = frame.payload.method.decoded;
    return ack->multiple ? ack->delivery_tag : confirmed + 1;
}

static uint64_t window(void) {
    uint64_t fits = WINDOW_BYTES / size;
    return fits < 1 ? 1 : fits < WINDOW ? fits : WINDOW;
}

static void confirm(void) {
    uint64_t confirmed = 0, most = window();
    amqp_confirm_select(connection, CHANNEL);
    check_reply("confirm.select");
    start_watch();
    for (int number = 0; number < count; number++) {
        while (number - confirmed >= most)
            confirmed = confirmed_up_to(confirmed);
        publish_one(number);
    }
    while (confirmed < (uint64_t)count)
        confirmed = confirmed_up_to(confirmed);
    report(NULL);
}

static void consume(int each) {
    start_watch();
    start_consuming();
    for (int number = 1; number <= count; number++) {
        uint64_t tag = receive();
        if (number % each == 0 || number == count)
            check(amqp_basic_ack(connection, CHANNEL, tag, each > 1), "ack");
    }
    report(NULL);
}

static void request(void) {
    double *seconds = malloc(count * sizeof *seconds);
    if (!seconds)
        fail("malloc");
    start_consuming();
    start_watch();
    for (int number = 0; number < count; number++) {
        double began = now(CLOCK_MONOTONIC);
        publish_one(number);
        check(amqp_basic_ack(connection, CHANNEL, receive(), 0), "ack");
        seconds[number] = now(CLOCK_MONOTONIC) - began;
    }
    report(seconds);
    free(seconds);
}

static void connect_to(int port) {
    connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    if (!socket)
        fail("making a socket");
    check(amqp_socket_open(socket, "127.0.0.1", port), "connecting");
    amqp_rpc_reply_t reply = amqp_login(connection, "/", 0, 131072, 0,
                                        AMQP_SASL_METHOD_PLAIN, "guest", "guest");
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        fail("logging in");
    amqp_channel_open(connection, CHANNEL);
    check_reply("opening a channel");
}

static void set_properties(void) {
    properties._flags = AMQP_BASIC_CONTENT_TYPE_FLAG |
                        AMQP_BASIC_CONTENT_ENCODING_FLAG |
                        AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG |
                        AMQP_BASIC_PRIORITY_FLAG;
    properties.content_type = amqp_cstring_bytes("application/json");
    properties.content_encoding = amqp_cstring_bytes("utf-8");
    properties.delivery_mode = 1;
    properties.priority = 0;
}

int main(int argc, char **argv) {
    if (argc != 6)
        fail("reading the command line");
    const char *mode = argv[1];
    queue = amqp_cstring_bytes(argv[3]);
    size = atoi(argv[4]);
    count = atoi(argv[5]);
    make_bodies();
    set_properties();
    connect_to(atoi(argv[2]));
    if (!strcmp(mode, "publish"))
        publish(0);
    else if (!strcmp(mode, "publish-slowed"))
        publish(MORE_CPU);
    else if (!strcmp(mode, "confirm"))
        confirm();
    else if (!strcmp(mode, "consume"))
        consume(1);
    else if (!strcmp(mode, "consume-multiple"))
        consume(MULTIPLE);
    else if (!strcmp(mode, "request"))
        request();
    else
        fail(mode);
    amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
    check(amqp_destroy_connection(connection), "closing");
    return 0;
}
