// What the samples use of OkHttp 5, as it declares it, so that they compile without it: Maven's packages are not everywhere.
package okhttp3

class OkHttpClient {
    fun newCall(request: Request): Call = TODO()
}

interface Call {
    fun execute(): Response
}

class Request {
    fun header(name: String): String? = TODO()
    fun newBuilder(): Builder = TODO()

    class Builder {
        fun url(url: String): Builder = TODO()
        fun url(url: HttpUrl): Builder = TODO()
        fun header(name: String, value: String): Builder = TODO()
        fun post(body: RequestBody): Builder = TODO()
        fun patch(body: RequestBody): Builder = TODO()
        fun build(): Request = TODO()
    }
}

abstract class Response : java.io.Closeable {
    abstract val request: Request
    abstract val body: ResponseBody
    abstract val code: Int
    abstract val isSuccessful: Boolean
    abstract val priorResponse: Response?
    abstract fun header(name: String): String?
}

abstract class ResponseBody {
    fun string(): String = TODO()
}

abstract class RequestBody {
    companion object {
        fun String.toRequestBody(contentType: MediaType? = null): RequestBody = TODO()
    }
}

class MediaType {
    companion object {
        fun String.toMediaType(): MediaType = TODO()
    }
}

class HttpUrl {
    fun newBuilder(): Builder = TODO()

    class Builder {
        fun addQueryParameter(name: String, value: String?): Builder = TODO()
        fun build(): HttpUrl = TODO()
    }

    companion object {
        fun String.toHttpUrl(): HttpUrl = TODO()
    }
}

class Route

interface Authenticator {
    fun authenticate(route: Route?, response: Response): Request?
}
