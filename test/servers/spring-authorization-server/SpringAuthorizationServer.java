package dev.certbound.test;

import static org.springframework.security.config.Customizer.withDefaults;

import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.RSAKey;
import com.nimbusds.jose.jwk.source.ImmutableJWKSet;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.proc.SecurityContext;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.interfaces.RSAPrivateKey;
import java.security.interfaces.RSAPublicKey;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;
import org.apache.catalina.connector.Connector;
import org.apache.tomcat.util.net.SSLHostConfig;
import org.apache.tomcat.util.net.SSLHostConfigCertificate;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.tomcat.servlet.TomcatServletWebServerFactory;
import org.springframework.boot.web.server.WebServerFactoryCustomizer;
import org.springframework.context.annotation.Bean;
import org.springframework.security.authentication.AuthenticationProvider;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.annotation.web.configuration.OAuth2AuthorizationServerConfiguration;
import org.springframework.security.config.annotation.web.configurers.oauth2.server.authorization.OAuth2AuthorizationServerConfigurer;
import org.springframework.security.core.userdetails.User;
import org.springframework.security.core.userdetails.UserDetailsService;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.ClientAuthenticationMethod;
import org.springframework.security.oauth2.core.OAuth2AuthenticationException;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.server.authorization.OAuth2ClientRegistration;
import org.springframework.security.oauth2.server.authorization.authentication.OAuth2ClientRegistrationAuthenticationProvider;
import org.springframework.security.oauth2.server.authorization.authentication.OAuth2ClientRegistrationAuthenticationValidator;
import org.springframework.security.oauth2.server.authorization.client.RegisteredClient;
import org.springframework.security.oauth2.server.authorization.client.RegisteredClientRepository;
import org.springframework.security.oauth2.server.authorization.converter.OAuth2ClientRegistrationRegisteredClientConverter;
import org.springframework.security.oauth2.server.authorization.converter.RegisteredClientOAuth2ClientRegistrationConverter;
import org.springframework.security.oauth2.server.authorization.oidc.authentication.OidcClientRegistrationAuthenticationProvider;
import org.springframework.security.oauth2.server.authorization.oidc.authentication.OidcClientRegistrationAuthenticationValidator;
import org.springframework.security.oauth2.server.authorization.settings.AuthorizationServerSettings;
import org.springframework.security.oauth2.server.authorization.settings.ClientSettings;
import org.springframework.security.oauth2.server.authorization.settings.TokenSettings;
import org.springframework.security.oauth2.server.authorization.web.authentication.X509ClientCertificateAuthenticationConverter;
import org.springframework.security.provisioning.InMemoryUserDetailsManager;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;

/**
 * Spring Authorization Server as an application has it that registers clients with certificates (RFC 8705). What it adds to
 * the stock one: the registration keeps the members of RFC 8705, which the stock converters drop, and takes scopes, which the
 * stock validator refuses. A second port takes certificates that nobody vouches for: those of self_signed_tls_client_auth.
 */
@SpringBootApplication
@RestController
public class SpringAuthorizationServer {
  private static final String SUBJECT_DN = "tls_client_auth_subject_dn";
  private static final String BOUND = "tls_client_certificate_bound_access_tokens";

  private final Map<String, RegisteredClient> clients = new ConcurrentHashMap<>();
  /** With the stock converters, as whoever does not know of RFC 8705 has it. */
  private volatile boolean stock;

  public static void main(String[] args) throws Exception {
    trustForKeySets(Path.of(System.getProperty("certbound.tls"), "outbound-ca.crt"));
    SpringApplication.run(SpringAuthorizationServer.class, args);
  }

  /** Clients' jwks_uri are read with the JVM's default trust. */
  private static void trustForKeySets(Path ca) throws Exception {
    KeyStore trusted = KeyStore.getInstance("PKCS12");
    trusted.load(null, null);
    try (InputStream pem = Files.newInputStream(ca)) {
      trusted.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(pem));
    }
    TrustManagerFactory managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    managers.init(trusted);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, managers.getTrustManagers(), null);
    HttpsURLConnection.setDefaultSSLSocketFactory(context.getSocketFactory());
  }

  @Bean
  SecurityFilterChain security(HttpSecurity http) throws Exception {
    return http.oauth2AuthorizationServer(this::authorizationServer)
        .authorizeHttpRequests(
            requests -> requests.requestMatchers("/test/**").permitAll().anyRequest().authenticated())
        .csrf(csrf -> csrf.ignoringRequestMatchers("/test/**"))
        // Initial and registration access tokens are access tokens of its own.
        .oauth2ResourceServer(resourceServer -> resourceServer.jwt(withDefaults()))
        // The user of the authorization endpoint, without a browser.
        .httpBasic(withDefaults())
        .build();
  }

  private void authorizationServer(OAuth2AuthorizationServerConfigurer server) {
    server
        // First: else whoever sends a code_verifier is taken for a public client.
        .clientAuthentication(
            client -> client.authenticationConverter(new X509ClientCertificateAuthenticationConverter()))
        .pushedAuthorizationRequestEndpoint(withDefaults())
        .clientRegistrationEndpoint(endpoint -> endpoint.authenticationProviders(this::keepMutualTls))
        .oidc(oidc -> oidc.clientRegistrationEndpoint(
            endpoint -> endpoint.authenticationProviders(SpringAuthorizationServer::allowScopes)));
  }

  private void keepMutualTls(List<AuthenticationProvider> providers) {
    for (AuthenticationProvider provider : providers) {
      if (provider instanceof OAuth2ClientRegistrationAuthenticationProvider registration) {
        registration.setRegisteredClientConverter(this::registeredClient);
        registration.setClientRegistrationConverter(this::clientRegistration);
        registration.setAuthenticationValidator(
            OAuth2ClientRegistrationAuthenticationValidator.DEFAULT_REDIRECT_URI_VALIDATOR
                .andThen(OAuth2ClientRegistrationAuthenticationValidator.DEFAULT_JWK_SET_URI_VALIDATOR));
      }
    }
  }

  private static void allowScopes(List<AuthenticationProvider> providers) {
    for (AuthenticationProvider provider : providers) {
      if (provider instanceof OidcClientRegistrationAuthenticationProvider registration) {
        registration.setAuthenticationValidator(
            OidcClientRegistrationAuthenticationValidator.DEFAULT_REDIRECT_URI_VALIDATOR);
      }
    }
  }

  private RegisteredClient registeredClient(OAuth2ClientRegistration registration) {
    RegisteredClient client = new OAuth2ClientRegistrationRegisteredClientConverter().convert(registration);
    String method = registration.getTokenEndpointAuthenticationMethod();
    boolean byName = ClientAuthenticationMethod.TLS_CLIENT_AUTH.getValue().equals(method);
    boolean byKey = ClientAuthenticationMethod.SELF_SIGNED_TLS_CLIENT_AUTH.getValue().equals(method);
    if (stock || !(byName || byKey)) return client;
    Map<String, Object> claims = registration.getClaims();
    long subjects = claims.keySet().stream().filter(name -> name.matches("tls_client_auth_(subject_dn|san_.+)")).count();
    // RFC 8705 §2.1.2 wants exactly one; this server compares names alone.
    if (byName && (subjects != 1 || !claims.containsKey(SUBJECT_DN))) {
      throw new OAuth2AuthenticationException("invalid_client_metadata");
    }
    ClientSettings.Builder settings =
        ClientSettings.withSettings(client.getClientSettings().getSettings()).requireAuthorizationConsent(false);
    if (byName) settings.x509CertificateSubjectDN((String) claims.get(SUBJECT_DN));
    TokenSettings.Builder tokens =
        TokenSettings.withSettings(client.getTokenSettings().getSettings())
            .accessTokenTimeToLive(Duration.ofSeconds(Long.getLong("certbound.access-token-seconds")))
            .x509CertificateBoundAccessTokens(Boolean.TRUE.equals(claims.get(BOUND)));
    return RegisteredClient.from(client)
        .clientSecret(null)
        .clientAuthenticationMethods(Collection::clear)
        .clientAuthenticationMethod(new ClientAuthenticationMethod(method))
        .clientSettings(settings.build())
        .tokenSettings(tokens.build())
        .build();
  }

  private OAuth2ClientRegistration clientRegistration(RegisteredClient client) {
    OAuth2ClientRegistration stockRegistration = new RegisteredClientOAuth2ClientRegistrationConverter().convert(client);
    if (stock) return stockRegistration;
    OAuth2ClientRegistration.Builder registration =
        OAuth2ClientRegistration.withClaims(stockRegistration.getClaims())
            .claim(BOUND, client.getTokenSettings().isX509CertificateBoundAccessTokens());
    String subject = client.getClientSettings().getX509CertificateSubjectDN();
    if (subject != null) registration.claim(SUBJECT_DN, subject);
    return registration.build();
  }

  @Bean
  RegisteredClientRepository registeredClients() {
    RegisteredClient registrar =
        RegisteredClient.withId("registrar")
            .clientId("registrar")
            .clientSecret("{noop}" + System.getProperty("certbound.registrar-secret"))
            .clientAuthenticationMethod(ClientAuthenticationMethod.CLIENT_SECRET_POST)
            .authorizationGrantType(AuthorizationGrantType.CLIENT_CREDENTIALS)
            .scope("client.create")
            .build();
    clients.put(registrar.getId(), registrar);
    return new RegisteredClientRepository() {
      @Override
      public void save(RegisteredClient client) {
        clients.put(client.getId(), client);
      }

      @Override
      public RegisteredClient findById(String id) {
        return clients.get(id);
      }

      @Override
      public RegisteredClient findByClientId(String clientId) {
        return clients.values().stream().filter(one -> one.getClientId().equals(clientId)).findAny().orElse(null);
      }
    };
  }

  @Bean
  AuthorizationServerSettings settings(@Value("${certbound.issuer}") String issuer) {
    return AuthorizationServerSettings.builder().issuer(issuer).build();
  }

  @Bean
  UserDetailsService users() {
    return new InMemoryUserDetailsManager(
        User.withUsername("ada").password("{noop}" + System.getProperty("certbound.registrar-secret")).build());
  }

  @Bean
  JWKSource<SecurityContext> signingKeys() throws Exception {
    KeyPairGenerator generator = KeyPairGenerator.getInstance("RSA");
    generator.initialize(2048);
    KeyPair pair = generator.generateKeyPair();
    RSAKey key =
        new RSAKey.Builder((RSAPublicKey) pair.getPublic())
            .privateKey((RSAPrivateKey) pair.getPrivate())
            .keyID("one")
            .build();
    return new ImmutableJWKSet<>(new JWKSet(key));
  }

  @Bean
  JwtDecoder jwtDecoder(JWKSource<SecurityContext> keys) {
    return OAuth2AuthorizationServerConfiguration.jwtDecoder(keys);
  }

  @Bean
  WebServerFactoryCustomizer<TomcatServletWebServerFactory> selfSignedPort(
      @Value("${certbound.self-signed-port}") int port, @Value("${certbound.tls}") String folder) {
    SSLHostConfig host = new SSLHostConfig();
    host.setCertificateVerification("optional");
    host.setTrustManagerClassName(AnyCertificate.class.getName());
    SSLHostConfigCertificate certificate = new SSLHostConfigCertificate(host, SSLHostConfigCertificate.Type.UNDEFINED);
    certificate.setCertificateFile(folder + "/server.crt");
    certificate.setCertificateKeyFile(folder + "/server.key");
    host.addCertificate(certificate);
    Connector connector = new Connector();
    connector.setPort(port);
    connector.setProperty("address", "127.0.0.1");
    connector.setScheme("https");
    connector.setSecure(true);
    connector.setProperty("SSLEnabled", "true");
    connector.addSslHostConfig(host);
    return factory -> factory.addAdditionalConnectors(connector);
  }

  /** RFC 8705 §2.2: the key alone counts, and it is compared later. */
  public static class AnyCertificate implements X509TrustManager {
    @Override
    public void checkClientTrusted(X509Certificate[] chain, String authType) {}

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String authType) {}

    @Override
    public X509Certificate[] getAcceptedIssuers() {
      return new X509Certificate[0];
    }
  }

  /** What an administrator would see. */
  @GetMapping("/test/clients")
  List<Map<String, Object>> registered() {
    return clients.values().stream()
        .map(client -> Map.<String, Object>of(
            "client_id", client.getClientId(),
            "client_name", client.getClientName(),
            "methods", client.getClientAuthenticationMethods().stream().map(ClientAuthenticationMethod::getValue).toList()))
        .toList();
  }

  @PostMapping("/test/stock")
  void stock(@RequestParam boolean value) {
    stock = value;
  }
}
