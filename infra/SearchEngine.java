import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.function.Supplier;
import org.elasticsearch.action.ActionListener;
import org.elasticsearch.cluster.node.DiscoveryNode;
import org.elasticsearch.common.breaker.CircuitBreaker;
import org.elasticsearch.common.breaker.NoopCircuitBreaker;
import org.elasticsearch.common.bytes.BytesArray;
import org.elasticsearch.common.bytes.BytesReference;
import org.elasticsearch.common.component.AbstractLifecycleComponent;
import org.elasticsearch.common.io.stream.NamedWriteableRegistry;
import org.elasticsearch.common.lease.Releasable;
import org.elasticsearch.common.network.NetworkService;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.common.transport.BoundTransportAddress;
import org.elasticsearch.common.transport.TransportAddress;
import org.elasticsearch.common.util.BigArrays;
import org.elasticsearch.common.util.PageCacheRecycler;
import org.elasticsearch.common.xcontent.NamedXContentRegistry;
import org.elasticsearch.env.Environment;
import org.elasticsearch.http.HttpChannel;
import org.elasticsearch.http.HttpInfo;
import org.elasticsearch.http.HttpRequest;
import org.elasticsearch.http.HttpResponse;
import org.elasticsearch.http.HttpServerTransport;
import org.elasticsearch.http.HttpStats;
import org.elasticsearch.indices.breaker.CircuitBreakerService;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.NetworkPlugin;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.rest.AbstractRestChannel;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestResponse;
import org.elasticsearch.rest.RestStatus;
import org.elasticsearch.threadpool.ThreadPool;
import org.elasticsearch.transport.ConnectionProfile;
import org.elasticsearch.transport.RequestHandlerRegistry;
import org.elasticsearch.transport.Transport;
import org.elasticsearch.transport.TransportMessageListener;
import org.elasticsearch.transport.TransportRequest;
import org.elasticsearch.transport.TransportStats;

/**
 * A search engine for the contract tests: one node of Elasticsearch 7.0, which OpenSearch descends from, out of a jar that has all
 * of it but its sockets. Those are here: HTTP by the JDK's own server, and none to other nodes, as there are none. What is asked
 * is answered by the engine's own code, from its REST layer down. `infra/search-engine` builds and runs it.
 *
 * Arguments: a folder for its files, and a port.
 */
public class SearchEngine {
    public static void main(String[] arguments) throws Exception {
        // Or else each answer waits 40 ms for an acknowledgement.
        System.setProperty("sun.net.httpserver.nodelay", "true");
        Settings settings = Settings.builder()
            .put("cluster.name", "souk-tests")
            .put("node.name", "one")
            .put("path.home", arguments[0])
            .put("discovery.type", "single-node")
            .put("transport.type", "none")
            .put("http.type", "jdk")
            .put("http.port", arguments[1])
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
        Environment environment = InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "one");
        Node node = new Node(environment, List.of(Sockets.class), false) {};
        node.start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (IOException e) {
                e.printStackTrace();
            }
        }));
        System.out.println("listens on port " + arguments[1]);
        Thread.currentThread().join();
    }

    /** What the jar lacks. */
    public static class Sockets extends Plugin implements NetworkPlugin {
        @Override
        public Map<String, Supplier<Transport>> getTransports(Settings settings, ThreadPool pool, PageCacheRecycler recycler,
                CircuitBreakerService breakers, NamedWriteableRegistry registry, NetworkService network) {
            return Map.of("none", NoOthers::new);
        }

        @Override
        public Map<String, Supplier<HttpServerTransport>> getHttpTransports(Settings settings, ThreadPool pool, BigArrays arrays,
                PageCacheRecycler recycler, CircuitBreakerService breakers, NamedXContentRegistry registry, NetworkService network,
                HttpServerTransport.Dispatcher dispatcher) {
            int port = Integer.parseInt(settings.get("http.port"));
            return Map.of("jdk", () -> new Http(port, pool, registry, dispatcher));
        }
    }

    private static BoundTransportAddress address(int port) {
        TransportAddress address = new TransportAddress(InetAddress.getLoopbackAddress(), port);
        return new BoundTransportAddress(new TransportAddress[] {address}, address);
    }

    /** Speaks to no other node. */
    static class NoOthers extends AbstractLifecycleComponent implements Transport {
        private final Map<String, RequestHandlerRegistry<? extends TransportRequest>> handlers = new HashMap<>();
        private final ResponseHandlers responses = new ResponseHandlers();

        @Override
        public synchronized <R extends TransportRequest> void registerRequestHandler(RequestHandlerRegistry<R> handler) {
            handlers.put(handler.getAction(), handler);
        }

        @Override
        public synchronized RequestHandlerRegistry<? extends TransportRequest> getRequestHandler(String action) {
            return handlers.get(action);
        }

        @Override
        public void addMessageListener(TransportMessageListener listener) {}

        @Override
        public boolean removeMessageListener(TransportMessageListener listener) {
            return true;
        }

        @Override
        public BoundTransportAddress boundAddress() {
            return address(9300);
        }

        @Override
        public Map<String, BoundTransportAddress> profileBoundAddresses() {
            return Map.of();
        }

        @Override
        public TransportAddress[] addressesFromString(String text, int limit) {
            return new TransportAddress[0];
        }

        @Override
        public List<String> getLocalAddresses() {
            return List.of();
        }

        @Override
        public CircuitBreaker getInFlightRequestBreaker() {
            return new NoopCircuitBreaker("none");
        }

        @Override
        public Releasable openConnection(DiscoveryNode node, ConnectionProfile profile, ActionListener<Connection> listener) {
            listener.onFailure(new IOException("there is no other node"));
            return () -> {};
        }

        @Override
        public TransportStats getStats() {
            return new TransportStats(0, 0, 0, 0, 0);
        }

        @Override
        public ResponseHandlers getResponseHandlers() {
            return responses;
        }

        @Override
        protected void doStart() {}

        @Override
        protected void doStop() {}

        @Override
        protected void doClose() {}
    }

    /** Hands HTTP requests to the node. */
    static class Http extends AbstractLifecycleComponent implements HttpServerTransport {
        private final int port;
        private final ThreadPool pool;
        private final NamedXContentRegistry registry;
        private final Dispatcher dispatcher;
        private HttpServer server;

        Http(int port, ThreadPool pool, NamedXContentRegistry registry, Dispatcher dispatcher) {
            this.port = port;
            this.pool = pool;
            this.registry = registry;
            this.dispatcher = dispatcher;
        }

        @Override
        protected void doStart() {
            try {
                server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 64);
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
            server.setExecutor(Executors.newCachedThreadPool());
            server.createContext("/", this::handle);
            server.start();
        }

        private void handle(HttpExchange exchange) throws IOException {
            Request asked = new Request(exchange, exchange.getRequestBody().readAllBytes());
            RestRequest request;
            try {
                request = RestRequest.request(registry, asked, new Channel(exchange));
            } catch (RuntimeException e) {
                answer(exchange, 400, "text/plain", String.valueOf(e.getMessage()).getBytes());
                return;
            }
            try (var context = pool.getThreadContext().stashContext()) {
                dispatcher.dispatchRequest(request, new AbstractRestChannel(request, true) {
                    @Override
                    public void sendResponse(RestResponse response) {
                        try {
                            byte[] body = BytesReference.toBytes(response.content());
                            answer(exchange, response.status().getStatus(), response.contentType(), body);
                        } catch (IOException e) {
                            exchange.close();
                        }
                    }
                }, pool.getThreadContext());
            }
        }

        private static void answer(HttpExchange exchange, int status, String type, byte[] body) throws IOException {
            exchange.getResponseHeaders().set("content-type", type);
            boolean none = body.length == 0 || exchange.getRequestMethod().equals("HEAD");
            exchange.sendResponseHeaders(status, none ? -1 : body.length);
            if (!none) {
                exchange.getResponseBody().write(body);
            }
            exchange.close();
        }

        @Override
        public BoundTransportAddress boundAddress() {
            return address(port);
        }

        @Override
        public HttpInfo info() {
            return new HttpInfo(address(port), 100 << 20);
        }

        @Override
        public HttpStats stats() {
            return new HttpStats(0, 0);
        }

        @Override
        protected void doStop() {
            server.stop(0);
        }

        @Override
        protected void doClose() {}
    }

    private static class Request implements HttpRequest {
        private final HttpExchange exchange;
        private final BytesReference body;

        Request(HttpExchange exchange, byte[] body) {
            this.exchange = exchange;
            this.body = new BytesArray(body);
        }

        @Override
        public RestRequest.Method method() {
            return RestRequest.Method.valueOf(exchange.getRequestMethod());
        }

        @Override
        public String uri() {
            return exchange.getRequestURI().toASCIIString();
        }

        @Override
        public BytesReference content() {
            return body;
        }

        @Override
        public Map<String, List<String>> getHeaders() {
            return exchange.getRequestHeaders();
        }

        @Override
        public List<String> strictCookies() {
            return new ArrayList<>();
        }

        @Override
        public HttpVersion protocolVersion() {
            return HttpVersion.HTTP_1_1;
        }

        @Override
        public HttpRequest removeHeader(String header) {
            return this;
        }

        @Override
        public HttpResponse createResponse(RestStatus status, BytesReference content) {
            throw new UnsupportedOperationException();
        }
    }

    private static class Channel implements HttpChannel {
        private final HttpExchange exchange;

        Channel(HttpExchange exchange) {
            this.exchange = exchange;
        }

        @Override
        public void sendResponse(HttpResponse response, ActionListener<Void> listener) {
            throw new UnsupportedOperationException();
        }

        @Override
        public InetSocketAddress getLocalAddress() {
            return exchange.getLocalAddress();
        }

        @Override
        public InetSocketAddress getRemoteAddress() {
            return exchange.getRemoteAddress();
        }

        @Override
        public void close() {
            exchange.close();
        }

        @Override
        public void addCloseListener(ActionListener<Void> listener) {}

        @Override
        public boolean isOpen() {
            return true;
        }
    }
}
