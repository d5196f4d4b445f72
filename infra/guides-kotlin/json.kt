// What the samples use of org.json, which is part of Android, as it declares it.
package org.json

class JSONObject() {
    constructor(source: String) : this()

    fun put(name: String, value: Any?): JSONObject = TODO()
    fun getString(name: String): String = TODO()
    fun getLong(name: String): Long = TODO()
    fun getJSONArray(name: String): JSONArray = TODO()
    fun optJSONArray(name: String): JSONArray? = TODO()
    fun isNull(name: String): Boolean = TODO()
}

class JSONArray {
    fun length(): Int = TODO()
    fun getJSONObject(index: Int): JSONObject = TODO()
}
